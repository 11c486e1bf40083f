//! An approximate set of hashes: the hashes themselves while they are few, HyperLogLog registers after that
//! (P. Flajolet et al., 2007; estimator: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
//! 2017, algorithm 6). Its contents depend only on the set of hashes, never on the order or on merges.

/// Up to as many distinct hashes are kept as they are: exact, 8 bytes each.
const SPARSE_MOST: usize = 256;
/// 2^12 registers: a standard error of 1.04 / 64 = 1.6 %.
const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// Bits of a hash behind the register's index.
const TAIL: u32 = 64 - PRECISION;

const SPARSE_TAG: u8 = 0;
const DENSE_TAG: u8 = 1;

/// An approximate set of 64-bit hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HashSketch {
    /// Sorted, without doubles.
    Sparse(Vec<u64>),
    /// The greatest rank seen by each register.
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for HashSketch {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl HashSketch {
    pub(crate) fn add(&mut self, hash: u64) {
        match self {
            Self::Dense(registers) => raise(registers, hash),
            Self::Sparse(hashes) => {
                let Err(at) = hashes.binary_search(&hash) else { return };
                hashes.insert(at, hash);
                if hashes.len() > SPARSE_MOST {
                    self.densify();
                }
            }
        }
    }

    fn densify(&mut self) {
        if let Self::Sparse(hashes) = self {
            let mut registers = Box::new([0; REGISTERS]);
            hashes.iter().for_each(|hash| raise(&mut registers, *hash));
            *self = Self::Dense(registers);
        }
    }

    /// Estimated number of distinct hashes; exact while they are few.
    pub(crate) fn count(&self) -> i64 {
        match self {
            Self::Sparse(hashes) => i64::try_from(hashes.len()).unwrap_or(i64::MAX),
            Self::Dense(registers) => estimate(registers).round() as i64,
        }
    }

    pub(crate) fn to_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sparse(hashes) => {
                out.push(SPARSE_TAG);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
            }
            Self::Dense(registers) => {
                out.push(DENSE_TAG);
                out.extend_from_slice(registers.as_slice());
            }
        }
    }

    /// Adds what `to_bytes` wrote; false where the bytes are no such thing.
    pub(crate) fn merge_bytes(&mut self, bytes: &[u8]) -> bool {
        match bytes.split_first() {
            Some((&SPARSE_TAG, hashes)) => {
                let (hashes, rest) = hashes.as_chunks::<8>();
                hashes.iter().for_each(|hash| self.add(u64::from_le_bytes(*hash)));
                rest.is_empty()
            }
            Some((&DENSE_TAG, theirs)) if theirs.len() == REGISTERS => {
                self.densify();
                if let Self::Dense(registers) = self {
                    registers.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours = (*ours).max(*theirs));
                }
                true
            }
            _ => false,
        }
    }

    pub(crate) fn heap(&self) -> usize {
        match self {
            Self::Sparse(hashes) => hashes.capacity() * size_of::<u64>(),
            Self::Dense(_) => REGISTERS,
        }
    }
}

/// The first bits choose the register, the zeros that lead the others are its rank, from 1.
fn raise(registers: &mut [u8; REGISTERS], hash: u64) {
    let index = (hash >> TAIL) as usize;
    let rank = ((hash << PRECISION).leading_zeros().min(TAIL) + 1) as u8;
    if let Some(register) = registers.get_mut(index) {
        *register = (*register).max(rank);
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    const RANKS: usize = TAIL as usize + 2;
    let mut of_rank = [0u32; RANKS];
    for register in registers {
        // a rank beyond the greatest can only come from damaged state
        if let Some(count) = of_rank.get_mut(usize::from(*register).min(RANKS - 1)) {
            *count += 1;
        }
    }
    let m = REGISTERS as f64;
    let [zeros, middle @ .., full] = of_rank;
    let mut z = m * tau(1.0 - f64::from(full) / m);
    for count in middle.iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(zeros) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// x + sum of x^(2^k) * 2^(k-1); infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// (1 - x - sum of (1 - x^(2^-k))^2 * 2^-k) / 3.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::mix;
    use super::*;

    fn of(hashes: impl IntoIterator<Item = u64>) -> HashSketch {
        let mut sketch = HashSketch::default();
        hashes.into_iter().for_each(|hash| sketch.add(mix(hash)));
        sketch
    }

    #[test]
    fn few_are_counted_exactly() {
        for n in [0u64, 1, 5, 255, 256] {
            assert_eq!(of((0..n).chain(0..n)).count(), n as i64);
        }
    }

    #[test]
    fn many_are_within_five_standard_errors() {
        for n in [257u64, 1_000, 10_000, 100_000, 1_000_000] {
            let estimate = of(0..n).count() as f64;
            assert!((estimate / n as f64 - 1.0).abs() < 5.0 * 0.01625, "{estimate} for {n}");
        }
    }

    #[test]
    fn the_contents_depend_only_on_the_set() {
        let whole = of(0..1_000);
        let parts = [of(900..1_000), of(0..300), of(200..950)];
        let mut merged = HashSketch::default();
        for part in &parts {
            let mut bytes = Vec::new();
            part.to_bytes(&mut bytes);
            assert!(merged.merge_bytes(&bytes));
        }
        assert_eq!(merged, whole);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [&[][..], &[2], &[0, 1], &[1, 2, 3]] {
            assert!(!HashSketch::default().merge_bytes(bytes));
        }
    }
}
