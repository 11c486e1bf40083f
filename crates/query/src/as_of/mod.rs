//! `l ASOF [LEFT] JOIN r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k`: each left row with the latest right row of its key.
//!
//! DataFusion's planner knows no such join. The text becomes a plain join whose condition holds a marker, which the
//! planner treats as any other; after analysis that join becomes a node of its own, which batch executes as a window
//! function and the stream by an operator.

mod batch;
mod marker;
mod node;
mod syntax;

pub use batch::rewrite_as_of;
pub use marker::marker;
pub use node::{AsOfNode, as_node, from_markers};
pub use syntax::{as_plain_joins, left_joins};
