//! Shannon entropy of counts. One formula for the bytes of a text and for the values of a group.

/// Entropy in bits of a distribution given by positive counts: -sum(p * log2(p)), p = count / total
/// (C. E. Shannon, "A Mathematical Theory of Communication", 1948). 0 for no or one count.
///
/// Sorts the counts: doubles added in one order give one result, however the counts were collected.
pub(crate) fn entropy_bits(counts: &mut [u64]) -> f64 {
    if counts.len() < 2 {
        return 0.0;
    }
    counts.sort_unstable();
    let total = counts.iter().map(|&count| u128::from(count)).sum::<u128>() as f64;
    let bits: f64 = counts
        .iter()
        .map(|&count| {
            let share = count as f64 / total;
            -share * share.log2()
        })
        .sum();
    bits.max(0.0)
}
