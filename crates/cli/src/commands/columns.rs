//! What each column of a query is to a learner: shared by `train` and `evaluate`.

use fyke::learn::TableColumns;

/// The roles of columns.
#[derive(Debug, clap::Args)]
pub struct Columns {
    /// The column with the truth: 0 and 1, boolean, or text together with --positive
    #[arg(long, value_name = "COLUMN")]
    label: String,

    /// A text of the label that means "bot". May be given several times
    #[arg(long, value_name = "TEXT")]
    positive: Vec<String>,

    /// The column with the event time (a timestamp, or a window): rows are split by it
    #[arg(long, value_name = "COLUMN", default_value = "time")]
    time: String,

    /// A column that names whose row it is: nobody stands on both sides of the split. May be given several times
    #[arg(long, value_name = "COLUMN")]
    group: Vec<String>,

    /// A column with the rows' weights
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,

    /// A feature. May be given several times [default: all number columns without another role]
    #[arg(long = "feature", value_name = "COLUMN")]
    features: Vec<String>,
}

impl Columns {
    /// The label's column.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// As the library takes them.
    pub fn roles(&self) -> TableColumns {
        TableColumns {
            features: self.features.clone(),
            positive: self.positive.clone(),
            weight: self.weight.clone(),
            time: Some(self.time.clone()),
            group: self.group.clone(),
            ..TableColumns::new(&self.label)
        }
    }
}
