//! A tree as learners and files give it, before it is laid out for scoring: checked here, never scored.

/// What a split asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// Below it goes left.
    Below(f32),
    /// Codes among these (sorted, not empty) go left.
    Among(Vec<u32>),
}

/// One node as learners and files give it. Children are places in the tree's list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RawNode {
    Leaf { value: f32, cover: f32 },
    Split { feature: u32, test: Test, missing_left: bool, left: usize, right: usize, gain: f32, cover: f32 },
}

/// The order of nodes breadth first, and the depth; what is wrong where it is no tree.
pub(crate) fn breadth_first(raw: &[RawNode]) -> Result<(Vec<usize>, u32), String> {
    let mut order = Vec::with_capacity(raw.len());
    let mut seen = vec![false; raw.len()];
    let mut level = vec![0usize];
    let mut depth = 0;
    loop {
        let mut below = Vec::new();
        for &place in &level {
            match seen.get_mut(place) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("reaches node {place} twice, or it is missing")),
            }
            if let Some(RawNode::Split { left, right, test, .. }) = raw.get(place) {
                check_test(test)?;
                below.extend([*left, *right]);
            }
        }
        order.append(&mut level);
        if below.is_empty() {
            break;
        }
        level = below;
        depth += 1;
    }
    if order.len() == raw.len() { Ok((order, depth)) } else { Err("has nodes that nothing reaches".into()) }
}

fn check_test(test: &Test) -> Result<(), String> {
    match test {
        Test::Below(threshold) if threshold.is_finite() => Ok(()),
        Test::Among(codes) if !codes.is_empty() && codes.is_sorted_by(|a, b| a < b) => Ok(()),
        _ => Err("has a split without a finite threshold or sorted codes".into()),
    }
}
