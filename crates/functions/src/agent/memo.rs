//! Answers for a column of agents: a batch holds few distinct ones, so each is looked at once.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Seed of the tables; its value does not show in any result.
const SEED: u64 = 0x66_79_6b_65;

/// The answer for each row, computed once for each distinct text.
fn answers<T: Copy>(agents: &StringArray, of: impl Fn(&str) -> T, of_null: T) -> Vec<T> {
    let mut known: HashMap<&str, T, FixedState> = HashMap::with_hasher(FixedState::with_seed(SEED));
    let mut out = Vec::with_capacity(agents.len());
    for row in 0..agents.len() {
        out.push(match agents.is_valid(row) {
            true => {
                let agent = agents.value(row);
                *known.entry(agent).or_insert_with(|| of(agent))
            }
            false => of_null,
        });
    }
    out
}

/// A word from a fixed list for each agent.
pub(super) fn words(
    agents: &StringArray,
    of: impl Fn(&str) -> Option<&'static str>,
    of_null: Option<&'static str>,
) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(agents.len(), agents.len() * 8);
    for word in answers(agents, of, of_null) {
        out.append_option(word);
    }
    Arc::new(out.finish())
}

/// Yes or no for each agent; null for null.
pub(super) fn flags(agents: &StringArray, of: impl Fn(&str) -> bool) -> ArrayRef {
    Arc::new(answers(agents, |agent| Some(of(agent)), None).into_iter().collect::<BooleanArray>())
}

/// A number for each agent; null for null.
pub(super) fn numbers<T: ArrowPrimitiveType>(agents: &StringArray, of: impl Fn(&str) -> Option<T::Native>) -> ArrayRef {
    Arc::new(answers(agents, of, None).into_iter().collect::<PrimitiveArray<T>>())
}
