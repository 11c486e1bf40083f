//! Bot detection over web logs: the library a user imports. The rooms, put together.
//!
//! ```no_run
//! # async fn example() -> fyke::Result<()> {
//! let ctx = fyke::context();
//! let requests = ctx.read().format("combined").option("event_time", "time").load("access.log")?;
//! let minutes = requests
//!     .group_by(["tumble(time, INTERVAL '1 minute') AS w", "client_ip"])?
//!     .agg(["count(*) AS n", "unique(path) AS paths"])?;
//! println!("{}", minutes.show(20).await?);
//! # Ok(())
//! # }
//! ```
//! `read_stream()` in place of `read()` makes the same script live.

pub use fyke_query::{
    BatchReport, CheckpointSettings, ClusterSettings, Comparison, Context, ContextBuilder, DataFrame, Driver,
    EMIT_SETTINGS, Emit, FunctionDoc, IntoExpr, JoinType, OperatorProgress, OutputMode, ParityReport, Progress,
    ReadBuilder, RunSettings, Script, SelectSink, SinkProgress, SourceProgress, Statement, StatementKind, StopSignal,
    StreamWriter, StreamingQuery, TIME_SETTINGS, TableSettings, Trigger, Writer, checkpoint, compare_rows,
    function_reference,
};
pub use fyke_types::{Clock, Error, Kind, Place, Result, SinkMode, SystemClock};

pub use datafusion::arrow;

pub mod detector;
pub mod testing;

/// Where batches come from, and go.
pub mod connect {
    pub use fyke_connect::*;
}

/// What is a bot?
pub mod detect {
    pub use fyke_detect::*;
}

/// How a detector is fitted, judged, versioned and applied.
pub mod learn {
    pub use fyke_learn::*;
}

/// The words that all rooms share.
pub mod types {
    pub use fyke_types::*;
}

/// A context with all connectors, functions and the shipped model.
pub fn context() -> Context {
    context_with(|builder| builder)
}

/// The same, with other settings.
pub fn context_with(settings: impl FnOnce(ContextBuilder) -> ContextBuilder) -> Context {
    let context = settings(Context::builder().connectors(fyke_connect::connectors())).build();
    fyke_detect::register(&context, &fyke_detect::Models::new());
    context
}
