//! What does this SQL or DataFrame mean?
//!
//! The context, tables and their settings, scripts, the batch rewrite, stream planning, and the comparison of both
//! executions. It knows connectors only by their promise, and no feature or model by name.

mod as_of;
mod batch;
mod check;
mod cluster_run;
mod compare;
mod context;
mod emit;
mod errors;
mod frame;
mod job;
mod parameters;
mod provider;
mod reader;
mod reloads;
mod run_settings;
mod script;
mod sink_how;
mod state_table;
mod static_rows;
mod stream_plan;
mod table;
mod unique;
mod writer;

pub use fyke_functions::{FunctionDoc, reference as function_reference};
pub use fyke_stream::checkpoint;
pub use fyke_stream::cluster::ClusterSettings;
pub use fyke_stream::{Driver, OperatorProgress, Progress, SinkProgress, SourceProgress, StopSignal};

pub use compare::{Comparison, compare_rows};
pub use context::{Context, ContextBuilder};
pub use emit::{EMIT_SETTINGS, Emit};
pub use frame::{DataFrame, IntoExpr, JoinType};
pub use job::{BatchReport, BoundedReport, ParityReport, SelectSink};
pub use reader::ReadBuilder;
pub use run_settings::{CheckpointSettings, RunSettings};
pub use script::{Script, Statement, StatementKind};
pub use table::{TIME_SETTINGS, TableSettings};
pub use writer::{MemoryQuery, OutputMode, StreamWriter, StreamingQuery, Trigger, Writer};
