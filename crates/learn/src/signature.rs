//! Which columns a model takes: ordered names and kinds, with a stable hash. Not the values.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use fyke_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::hash::StableHash;

/// More columns than this are surely a mistake, and the trees' nodes stay small.
pub(crate) const FEATURES_MAX: usize = 65_536;

/// What a feature's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// Ordered: integers, floats, decimals, booleans (0 and 1).
    Number,
    /// Unordered text, coded by the model's dictionary.
    Category,
}

impl FeatureKind {
    /// The kind that a column of this type can serve as; none for times, structs, lists and bytes.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Category),
            DataType::Dictionary(_, value) => Self::of(value),
            DataType::Boolean | DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => Some(Self::Number),
            other if other.is_integer() || other.is_floating() => Some(Self::Number),
            _ => None,
        }
    }

    fn tag(self) -> u64 {
        match self {
            Self::Number => 0,
            Self::Category => 1,
        }
    }

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Category => "a text",
        }
    }
}

/// One column that a model takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// What its values are.
    pub kind: FeatureKind,
}

/// The ordered columns that a model takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Feature>", into = "Vec<Feature>")]
pub struct Signature {
    features: Vec<Feature>,
}

impl Signature {
    /// A signature of these columns.
    ///
    /// # Errors
    /// `Usage` for no columns, too many, or a name that comes twice.
    pub fn new(features: Vec<Feature>) -> Result<Self> {
        if features.is_empty() {
            return Err(Error::usage("a model needs at least one feature").hint("name number or text columns"));
        }
        if features.len() > FEATURES_MAX {
            return Err(Error::usage(format!("{} features are more than {FEATURES_MAX}", features.len())));
        }
        let mut seen = BTreeSet::new();
        for feature in &features {
            if !seen.insert(feature.name.as_str()) {
                return Err(Error::usage(format!("feature '{}' is named twice", feature.name)));
            }
        }
        Ok(Self { features })
    }

    /// The columns in order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// Where a column stands.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    /// 16 hexadecimal digits over ordered names and kinds, the same in every version.
    pub fn hash(&self) -> String {
        let mut hash = StableHash::new();
        for feature in &self.features {
            hash.text(&feature.name);
            hash.number(feature.kind.tag());
        }
        hash.hex()
    }
}

impl TryFrom<Vec<Feature>> for Signature {
    type Error = Error;

    fn try_from(features: Vec<Feature>) -> Result<Self> {
        Self::new(features)
    }
}

impl From<Signature> for Vec<Feature> {
    fn from(signature: Signature) -> Self {
        signature.features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(features: &[(&str, FeatureKind)]) -> Signature {
        Signature::new(features.iter().map(|(name, kind)| Feature { name: (*name).into(), kind: *kind }).collect())
            .unwrap()
    }

    #[test]
    fn hash_depends_on_order_names_and_kinds() {
        use FeatureKind::{Category, Number};
        let base = signature(&[("a", Number), ("b", Number)]).hash();
        assert_eq!(base, signature(&[("a", Number), ("b", Number)]).hash());
        assert_ne!(base, signature(&[("b", Number), ("a", Number)]).hash());
        assert_ne!(base, signature(&[("a", Number), ("b", Category)]).hash());
        assert_ne!(base, signature(&[("ab", Number), ("", Number)]).hash());
        // kept for ever, since models on disk carry it; computed by another program from the definition
        assert_eq!(base, "492af8f636692774");
    }

    #[test]
    fn twice_named_feature_is_refused() {
        let twice = vec![Feature { name: "a".into(), kind: FeatureKind::Number }; 2];
        assert!(Signature::new(twice).unwrap_err().to_string().contains("'a'"));
        assert!(Signature::new(vec![]).is_err());
    }
}
