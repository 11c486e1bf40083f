//! Where a reading of topics stands, as text.

use fyke_types::{Error, Micros, Result};
use serde::{Deserialize, Serialize};

/// All partitions in the order of their numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) partitions: Vec<SavedPartition>,
}

/// How far a partition was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedPartition {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) customer: String,
    /// The offset behind the last record that was given.
    pub(super) next: i64,
    /// Where a bounded reading ends.
    pub(super) end: Option<i64>,
    /// The greatest event time.
    pub(super) latest: Micros,
    pub(super) ended: bool,
}

impl Saved {
    /// Reads what [`Saved::text`] wrote.
    ///
    /// # Errors
    /// `Data` where it is something else.
    pub(super) fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::data("the position of a table in Kafka can't be read").detail(error))
    }

    /// As text.
    ///
    /// # Errors
    /// When it can't be written, which would be a defect.
    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal("a position can't be written").detail(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let partition = SavedPartition {
            topic: "logs-eu".into(),
            partition: 3,
            customer: "eu".into(),
            next: 12,
            end: None,
            latest: Micros::MIN,
            ended: false,
        };
        let text = Saved { partitions: vec![partition.clone()] }.text().expect("text");
        assert_eq!(Saved::read(&text).expect("reads").partitions, [partition]);
        assert!(Saved::read("{\"inputs\":[]}").is_err());
    }
}
