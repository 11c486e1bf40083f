//! Who comes in: both sides show that they know the token, without saying it, before anything else is read.
//!
//! The caller says who it is and a number used once; the listener answers with one of its own and a proof over both; the
//! caller gives its proof. A proof is HMAC-SHA256 under the token. The connection itself is not encrypted: hosts belong
//! into a network of their own.

use std::net::TcpStream;
use std::time::Duration;

use fyke_types::{Error, Result};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::wire::{read_json, write_json};

/// Changes when processes of two versions would not understand each other.
const PROTOCOL: &str = concat!("fyke-cluster 2 ", env!("CARGO_PKG_VERSION"));
/// Whoever takes longer is no process of ours.
const PATIENCE: Duration = Duration::from_secs(2);
/// A greeting is no longer.
const LONGEST: usize = 4_096;

/// Why a process calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// The coordinator: to work in its next generation. How many workers it has, and what its graph is.
    Join { workers: usize, graph: String },
    /// Another member: to exchange rows in this generation.
    Exchange { generation: u64, attempt: u64 },
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Caller {
    pub(super) index: usize,
    pub(super) purpose: Purpose,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: String,
    caller: Caller,
    nonce: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Challenge {
    nonce: String,
    proof: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    proof: String,
}

/// Calls a process.
pub(super) fn call(address: &str, token: &[u8], caller: &Caller) -> Result<TcpStream> {
    let no_answer = |error: std::io::Error| {
        Error::unavailable(format!("the process of the cluster at {address} can't be reached")).detail(error)
    };
    let mut stream = connect(address).map_err(no_answer)?;
    polite(&stream).map_err(no_answer)?;
    let nonce = nonce()?;
    let hello = Hello { protocol: PROTOCOL.to_owned(), caller: caller.clone(), nonce: nonce.clone() };
    let said =
        serde_json::to_string(&hello).map_err(|error| Error::internal("a greeting can't be written").detail(error))?;
    write_json(&mut stream, &hello).map_err(no_answer)?;
    let challenge: Challenge = read_json(&mut stream, LONGEST).map_err(no_answer)?;
    if !is_proof(token, &["listener", &said, &challenge.nonce], &challenge.proof) {
        return Err(Error::usage(format!("{address} has another token, or is another version of fyke")));
    }
    write_json(&mut stream, &Reply { proof: proof(token, &["caller", &said, &challenge.nonce]) }).map_err(no_answer)?;
    patient(&stream).map_err(no_answer)?;
    Ok(stream)
}

/// Hears who calls; an error for whoever does not belong here.
pub(super) fn answer(stream: &mut TcpStream, token: &[u8]) -> Result<Caller> {
    let stray = |error: std::io::Error| {
        Error::unavailable("somebody has called who is no process of the cluster").detail(error)
    };
    polite(stream).map_err(stray)?;
    let hello: Hello = read_json(stream, LONGEST).map_err(stray)?;
    if hello.protocol != PROTOCOL {
        return Err(Error::unavailable("a process of another version has called").detail(hello.protocol));
    }
    let said =
        serde_json::to_string(&hello).map_err(|error| Error::internal("a greeting can't be written").detail(error))?;
    let nonce = nonce()?;
    write_json(stream, &Challenge { nonce: nonce.clone(), proof: proof(token, &["listener", &said, &nonce]) })
        .map_err(stray)?;
    let reply: Reply = read_json(stream, LONGEST).map_err(stray)?;
    if !is_proof(token, &["caller", &said, &nonce], &reply.proof) {
        return Err(Error::unavailable("somebody has called who does not know the token"));
    }
    patient(stream).map_err(stray)?;
    Ok(hello.caller)
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    use std::net::ToSocketAddrs;
    let mut last = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn polite(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn patient(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}

/// A number used once. It decides about no row, so it may come from the machine.
fn nonce() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::unavailable("the machine gives no random numbers"))?;
    Ok(hexadecimal(&bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(hexadecimal.get(at..at + 2)?, 16).ok();
    (0..hexadecimal.len()).step_by(2).map(byte).collect()
}

fn message(parts: &[&str]) -> Vec<u8> {
    // lengths before parts, so that no two lists give the same bytes
    parts.iter().flat_map(|part| (part.len() as u64).to_le_bytes().into_iter().chain(part.bytes())).collect()
}

fn proof(token: &[u8], parts: &[&str]) -> String {
    hexadecimal(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, token), &message(parts)).as_ref())
}

/// In constant time.
fn is_proof(token: &[u8], parts: &[&str], proof: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token);
    bytes_of(proof).is_some_and(|proof| hmac::verify(&key, &message(parts), &proof).is_ok())
}
