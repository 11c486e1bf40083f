//! DataFrames: the same methods whether the rows are stored or live.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use fyke_stream::Progress;
use fyke_types::{Error, Result};
use std::sync::Arc;

use crate::context::Context;
use crate::errors::{planning_error, running_error};
use crate::provider::Provider;
use crate::writer::{StreamWriter, Writer};

pub use datafusion::logical_expr::JoinType;

/// An expression, as SQL text or built.
pub trait IntoExpr {
    /// The expression over columns of `schema`.
    ///
    /// # Errors
    /// `Usage` when the text can't be read or names no column.
    fn into_expr(self, context: &Context, schema: &DFSchema) -> Result<Expr>;
}

impl IntoExpr for &str {
    fn into_expr(self, context: &Context, schema: &DFSchema) -> Result<Expr> {
        let state = context.state();
        state.create_logical_expr(self, schema).map_err(|error| planning_error(error, self, None))
    }
}

impl IntoExpr for Expr {
    fn into_expr(self, _: &Context, _: &DFSchema) -> Result<Expr> {
        Ok(self)
    }
}

/// A query in the making.
#[derive(Debug, Clone)]
pub struct DataFrame {
    context: Context,
    plan: LogicalPlan,
}

/// A `GROUP BY` in the making.
#[derive(Debug, Clone)]
pub struct GroupedFrame {
    frame: DataFrame,
    keys: Vec<Expr>,
}

impl DataFrame {
    pub(crate) fn new(context: Context, plan: LogicalPlan) -> Self {
        Self { context, plan }
    }

    pub(crate) fn empty(context: Context) -> Self {
        let plan = LogicalPlanBuilder::empty(false).build();
        let nothing = || {
            LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation {
                produce_one_row: false,
                schema: Arc::new(DFSchema::empty()),
            })
        };
        Self { context, plan: plan.unwrap_or_else(|_| nothing()) }
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// The logical plan.
    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// Whether it reads a stream.
    pub fn is_streaming(&self) -> bool {
        self.plan.exists(|node| Ok(crate::stream_plan::reads_stream(node))).unwrap_or(false)
    }

    fn expressions<E: IntoExpr>(&self, expressions: impl IntoIterator<Item = E>) -> Result<Vec<Expr>> {
        expressions.into_iter().map(|e| e.into_expr(&self.context, self.plan.schema())).collect()
    }

    fn with(&self, plan: datafusion::common::Result<LogicalPlanBuilder>) -> Result<Self> {
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(|error| planning_error(error, "<frame>", None))?;
        Ok(Self { context: self.context.clone(), plan })
    }

    fn builder(&self) -> LogicalPlanBuilder {
        LogicalPlanBuilder::from(self.plan.clone())
    }

    /// Columns and expressions: `select(["host", "bytes / 1024 AS kb"])`.
    ///
    /// # Errors
    /// `Usage` for an unknown column or unreadable text.
    pub fn select<E: IntoExpr>(&self, expressions: impl IntoIterator<Item = E>) -> Result<Self> {
        self.with(self.builder().project(self.expressions(expressions)?))
    }

    /// All columns and one more; one of the same name is replaced.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn with_column(&self, name: &str, expression: impl IntoExpr) -> Result<Self> {
        let value = expression.into_expr(&self.context, self.plan.schema())?.alias(name);
        let mut select: Vec<Expr> =
            self.plan.schema().columns().into_iter().filter(|c| c.name() != name).map(Expr::Column).collect();
        select.push(value);
        self.with(self.builder().project(select))
    }

    /// Rows for which `predicate` is true.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn filter(&self, predicate: impl IntoExpr) -> Result<Self> {
        let predicate = predicate.into_expr(&self.context, self.plan.schema())?;
        self.with(self.builder().filter(predicate))
    }

    /// Groups: `group_by(["tumble(time, INTERVAL '1 minute') AS w", "host"])`.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn group_by<E: IntoExpr>(&self, keys: impl IntoIterator<Item = E>) -> Result<GroupedFrame> {
        Ok(GroupedFrame { keys: self.expressions(keys)?, frame: self.clone() })
    }

    /// Rows without duplicates.
    ///
    /// # Errors
    /// When the plan refuses.
    pub fn distinct(&self) -> Result<Self> {
        self.with(self.builder().distinct())
    }

    /// Rows of both, in no order.
    ///
    /// # Errors
    /// When the columns differ.
    pub fn union(&self, other: &Self) -> Result<Self> {
        self.with(self.builder().union(other.plan.clone()))
    }

    /// A join on a condition over both sides' columns; name sides with [`DataFrame::alias`].
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn join(&self, other: &Self, join_type: JoinType, on: impl IntoExpr) -> Result<Self> {
        let schema = self.plan.schema().join(other.plan.schema()).map_err(running_error)?;
        let on = on.into_expr(&self.context, &schema)?;
        self.with(self.builder().join_on(other.plan.clone(), join_type, [on]))
    }

    /// The same rows under a name.
    ///
    /// # Errors
    /// When the plan refuses.
    pub fn alias(&self, name: &str) -> Result<Self> {
        self.with(self.builder().alias(name))
    }

    /// Sorted rows; a stream gives them at the end of bounded input alone.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn sort<E: IntoExpr>(&self, keys: impl IntoIterator<Item = E>, ascending: bool) -> Result<Self> {
        let keys: Vec<SortExpr> = self.expressions(keys)?.into_iter().map(|key| key.sort(ascending, false)).collect();
        self.with(self.builder().sort(keys))
    }

    /// The first rows; a stream gives them at the end of bounded input alone.
    ///
    /// # Errors
    /// When the plan refuses.
    pub fn limit(&self, rows: usize) -> Result<Self> {
        self.with(self.builder().limit(0, Some(rows)))
    }

    /// Makes it a view that SQL can name.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn create_view(&self, name: &str) -> Result<()> {
        let view: Arc<dyn TableProvider> = Arc::new(ViewTable::new(self.plan.clone(), None));
        self.context.session().deregister_table(name).map_err(running_error)?;
        self.context.session().register_table(name, view).map_err(running_error)?;
        Ok(())
    }

    /// The rows, executed as batch.
    ///
    /// # Errors
    /// Planning errors, and what the source says.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.context.collect_batch(self.plan.clone()).await
    }

    /// The rows, executed as a stream over what exists now, with the run's counters.
    ///
    /// # Errors
    /// Planning errors, and what the source says.
    pub async fn collect_stream(&self) -> Result<(Progress, Vec<RecordBatch>)> {
        self.context.collect_stream(self.plan.clone()).await
    }

    /// How many rows, executed as batch.
    ///
    /// # Errors
    /// As [`DataFrame::collect`].
    pub async fn count(&self) -> Result<usize> {
        Ok(self.collect().await?.iter().map(RecordBatch::num_rows).sum())
    }

    /// The first rows as a table of text, executed as batch.
    ///
    /// # Errors
    /// As [`DataFrame::collect`].
    pub async fn show(&self, rows: usize) -> Result<String> {
        let batches = self.limit(rows)?.collect().await?;
        Ok(pretty_format_batches(&batches).map_err(Error::from)?.to_string())
    }

    /// How it runs: the streaming plan if it reads a stream, else the batch plan.
    ///
    /// # Errors
    /// Planning errors.
    pub async fn explain(&self) -> Result<String> {
        if self.is_streaming() {
            return self.context.explain_stream(self.plan.clone(), None, true).await;
        }
        self.context.explain_batch(self.plan.clone()).await
    }

    /// Writes rows, executed as batch.
    pub fn write(&self) -> Writer {
        Writer::new(self.context.clone(), self.plan.clone())
    }

    /// Writes rows as they come.
    pub fn write_stream(&self) -> StreamWriter {
        StreamWriter::new(self.context.clone(), self.plan.clone())
    }
}

impl GroupedFrame {
    /// Aggregates: `agg(["count(*) AS n", "sum(bytes) AS bytes"])`.
    ///
    /// # Errors
    /// As [`DataFrame::select`].
    pub fn agg<E: IntoExpr>(&self, aggregates: impl IntoIterator<Item = E>) -> Result<DataFrame> {
        let aggregates = self.frame.expressions(aggregates)?;
        let bare = |e: &Expr| e.clone().unalias();
        let plan = self.frame.builder().aggregate(self.keys.iter().map(bare), aggregates.iter().map(bare));
        let frame = self.frame.with(plan)?;
        let columns = frame.plan.schema().columns();
        let select =
            columns.into_iter().zip(self.keys.iter().chain(&aggregates)).map(|(column, expression)| match expression {
                Expr::Alias(alias) => Expr::Column(column).alias(&alias.name),
                _ => Expr::Column(column),
            });
        frame.with(frame.builder().project(select.collect::<Vec<_>>()))
    }
}

impl Context {
    pub(crate) fn scan(&self, name: &str) -> Result<LogicalPlan> {
        let Some(provider) = self.provider(name) else { return Err(Error::internal("a table is not registered")) };
        let provider: Arc<Provider> = provider;
        LogicalPlanBuilder::scan(name, provider_as_source(provider), None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(running_error)
    }
}
