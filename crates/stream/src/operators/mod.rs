//! One operator, one file.

mod as_of_join;
mod assign;
mod collect;
mod each_batch;
mod early_aggregate;
mod grouping;
mod interval_join;
mod join_port;
mod pane_aggregate;
mod plan;
mod project;
mod session_aggregate;
mod slot;
mod static_join;
mod step;
mod union;
mod upserts;
mod window_aggregate;

pub use as_of_join::{AsOfJoin, AsOfShape};
pub use assign::{Assign, AssignAll};
pub use collect::{Collect, Collected};
pub use each_batch::EachBatch;
pub use early_aggregate::EarlyAggregate;
pub use grouping::{Evaluated, Grouping};
pub use interval_join::{IntervalJoin, JoinShape};
pub use join_port::{JoinPort, Shifted};
pub use pane_aggregate::PaneAggregate;
pub use project::{Filter, Project};
pub use session_aggregate::SessionAggregate;
pub use slot::Slot;
pub use static_join::StaticJoin;
pub use step::{Step, StepPort};
pub use union::Union;
pub use upserts::{Upserts, UpsertsOf};
pub use window_aggregate::WindowAggregate;
