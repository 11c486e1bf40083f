//! Shared by the tests: small worlds, and a hash that is the same everywhere.
#![allow(dead_code, reason = "each test uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test's helper fails as the test does")]

use fyke_simulate::{World, WorldSettings, write_json};

/// A world of a few minutes.
pub fn world(change: impl FnOnce(&mut WorldSettings)) -> World {
    let mut settings = WorldSettings { minutes: 20, ..WorldSettings::default() };
    change(&mut settings);
    World::new(settings).unwrap()
}

/// FNV-1a, 64 bits.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The whole world as JSON lines.
pub fn lines(world: &World) -> Vec<u8> {
    let mut out = Vec::new();
    world.requests().for_each(|request| write_json(&mut out, &request));
    out
}
