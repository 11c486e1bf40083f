//! How is a detector fitted, judged, versioned, applied?
//!
//! The path: Arrow batches → [`FeatureTable`] → [`time_split`] → [`Learner::fit`] → [`Model`] → [`evaluate`] →
//! [`Registry::save`]; and, for every verdict, columns → [`Model::encode_columns`] → [`Model::scores`] →
//! [`Model::reasons`]. No SQL, no streams, no clock of its own, no network.

mod boost;
mod bytes;
mod calibrate;
mod card;
mod columns;
mod describe;
mod encode;
mod evaluate;
mod explain;
mod features;
mod hash;
mod keys;
pub mod metrics;
mod mlmodel;
mod model;
mod params;
mod raw_tree;
mod registry;
mod signature;
mod split;
#[cfg(test)]
mod testing;
mod trainer;
mod trees;
mod ubj;

pub use boost::GradientBoosting;
pub use calibrate::{Calibration, CalibrationKind};
pub use card::Lineage;
pub use describe::Description;
pub use encode::{Encoder, Rows};
pub use evaluate::{Evaluation, evaluate};
pub use explain::Contributions;
pub use features::{FeatureTable, TableColumns};
pub use model::{Model, Reason};
pub use params::{CheckedParams, Params, THREADS_MAX};
pub use registry::{Entry, Reference, Registry};
pub use signature::{Feature, FeatureKind, Signature};
pub use split::{Split, best_split, group_split, random_split, time_split};
pub use trainer::{LEARNERS, Learner, learner};
pub use trees::Forest;
