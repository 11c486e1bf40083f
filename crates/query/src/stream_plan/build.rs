//! The graph: one operator per node of the plans, sources and shared bodies built once.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::datasource::source_as_provider;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::{ExecutionPlan, collect};
use futures::future::BoxFuture;
use fyke_stream::operators::{
    Collect, Collected, EachBatch, Filter, Project, Slot, Step, StepPort, Union, Upserts, UpsertsOf,
};
use fyke_stream::{CustomerBy, Graph, NodeId};
use fyke_types::{Error, Result};

use super::facts::{Fact, of_expression};
use super::share::{Shared, share};
use super::{key, leaf, rules};
use crate::as_of::as_node;
use crate::batch::rewrite_select_lists;
use crate::check::check_deterministic;
use crate::emit::Emit;
use crate::errors::running_error;
use crate::provider::Provider;
use crate::reloads::Reloads;
use crate::table::FykeTable;

/// A source that a job reads.
pub struct StreamSource {
    /// A table, or rows that are known already.
    pub from: SourceFrom,
}

/// Whence a source's rows come.
pub enum SourceFrom {
    /// A table; the columns that are read, by index.
    Table(Arc<FykeTable>, Vec<usize>),
    /// The result of a plan that reads no stream.
    Rows(Vec<datafusion::arrow::array::RecordBatch>),
}

/// A planned job.
pub struct StreamJob {
    /// The operators.
    pub graph: Graph,
    /// Its sources, numbered as in the graph.
    pub sources: Vec<StreamSource>,
    /// By plan: where its rows are collected.
    pub outputs: Vec<Collected>,
    /// By plan: what its rows replace each other by, in update mode.
    pub upserts: Vec<Option<UpsertsOf>>,
    /// Whether some operator follows the customers' own watermarks.
    pub per_customer: bool,
}

/// A plan of a job and where its rows go.
#[derive(Clone)]
pub struct PlanTo {
    /// The output's name.
    pub name: String,
    /// The query.
    pub plan: LogicalPlan,
    /// Early results, if they are wanted.
    pub emit: Option<Emit>,
}

/// Plans analysed plans as one job. `bounded`: the input ends (`--once`), so that what has no window may answer then.
///
/// # Errors
/// `Unsupported` with reason and remedy for what cannot run as a stream.
pub(crate) async fn plan_stream(
    plans: Vec<PlanTo>,
    state: &SessionState,
    bounded: bool,
    reloads: &Reloads,
) -> Result<StreamJob> {
    let every = common_every(&plans)?;
    let shaped = plans
        .iter()
        .map(|to| {
            check_deterministic(&to.plan)?;
            let plan = rewrite_select_lists(to.plan.clone()).map_err(running_error)?;
            rules::shape(plan, state).map_err(running_error)
        })
        .collect::<Result<Vec<_>>>()?;
    let shared = share(shaped, state).map_err(running_error)?;
    let mut planner = Planner::new(state, shared, bounded, reloads);
    planner.add_sources()?;
    let outputs: Vec<Collected> = plans.iter().map(|_| Collected::default()).collect();
    let (mut upserts, mut ends) = (vec![None; plans.len()], vec![None; plans.len()]);
    // what several outputs share is built for early results if one wants them
    let mut order: Vec<usize> = (0..plans.len()).collect();
    order.sort_by_key(|at| plans[*at].emit.is_none());
    for at in order {
        let PlanTo { name, emit, .. } = &plans[at];
        let plan = planner.shared.plans[at].clone();
        planner.early = emit.is_some();
        let built = planner.build(&plan).await?;
        let Some(emit) = emit else {
            planner.graph.add(Box::new(Collect::new(outputs[at].clone(), name)), &[built.node]);
            continue;
        };
        let of = planner.upserts_of(name, built.node, &plan, emit)?;
        let end = Upserts::new(outputs[at].clone(), name, of.clone())?;
        ends[at] = Some(planner.graph.add(Box::new(end), &[built.node]));
        upserts[at] = Some(of);
    }
    if let Some(every) = every {
        planner.graph.begin_early(every, &ends)?;
    }
    let Planner { graph, sources, per_customer, .. } = planner;
    Ok(StreamJob { graph, sources, outputs, upserts, per_customer })
}

/// How often early rows are wanted; all outputs of a job that want them share a clock.
fn common_every(plans: &[PlanTo]) -> Result<Option<fyke_types::Micros>> {
    let mut wanted = plans.iter().filter_map(|to| to.emit.as_ref().map(|emit| (&to.name, emit.every)));
    let Some((first, every)) = wanted.next() else { return Ok(None) };
    match wanted.find(|(_, other)| *other != every) {
        Some((other, _)) => {
            Err(Error::unsupported(format!("{first} and {other} with early results at different times"))
                .hint("give both outputs the same 'every', or run them as two scripts"))
        }
        None => Ok(Some(every)),
    }
}

/// A node that has been built, and what its columns are.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) node: NodeId,
    pub(super) facts: Vec<Fact>,
}

/// A table of the job: its source and node.
struct TableNode {
    source: usize,
    columns: Vec<usize>,
}

pub(super) struct Planner<'a> {
    pub(super) state: &'a SessionState,
    /// Plans steps: one partition, so that nothing is spawned.
    pub(super) step_state: SessionState,
    pub(super) graph: Graph,
    pub(super) bounded: bool,
    pub(super) per_customer: bool,
    /// Static tables that are looked at again.
    pub(super) reloads: &'a Reloads,
    /// How many sides of joins have such a table.
    pub(super) static_sides: usize,
    /// Whether the plan at hand gives early results.
    pub(super) early: bool,
    /// By node: what its rows are unique by, where that is known.
    pub(super) keys: BTreeMap<NodeId, key::Key>,
    shared: Shared,
    sources: Vec<StreamSource>,
    tables: BTreeMap<String, TableNode>,
    bodies: BTreeMap<usize, Built>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a SessionState, shared: Shared, bounded: bool, reloads: &'a Reloads) -> Self {
        let mut config = state.config().clone().with_target_partitions(1);
        // a step's plan is executed again and again: nothing may be decided by its first rows
        config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
        // else the builder would put an empty catalog in the place of the one that both states share
        config = config.with_create_default_catalog_and_schema(false);
        let step_state = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build();
        Self {
            state,
            step_state,
            graph: Graph::default(),
            bounded,
            per_customer: false,
            reloads,
            static_sides: 0,
            early: false,
            keys: BTreeMap::new(),
            shared,
            sources: Vec::new(),
            tables: BTreeMap::new(),
            bodies: BTreeMap::new(),
        }
    }

    /// One source per table, with the union of the columns that its scans need.
    fn add_sources(&mut self) -> Result<()> {
        use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
        let mut tables: BTreeMap<String, (Arc<FykeTable>, Vec<usize>)> = BTreeMap::new();
        for plan in self.shared.plans.iter().chain(&self.shared.bodies) {
            plan.apply(|node| {
                if let Some(table) = stream_table(node) {
                    let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
                    let all = || (0..scan.source.schema().fields().len()).collect();
                    let entry = tables.entry(table.spec.name.clone()).or_insert_with(|| (table, Vec::new()));
                    entry.1.extend(scan.projection.clone().unwrap_or_else(all));
                }
                Ok(TreeNodeRecursion::Continue)
            })
            .map_err(running_error)?;
        }
        for (name, (table, mut columns)) in tables {
            let schema = table.schema()?;
            columns.extend(table.event_time_at());
            if let CustomerBy::Column(customer) = &table.settings.time.customer {
                columns.extend(schema.index_of(customer).ok());
            }
            if table.settings.late_to.is_some() {
                columns.extend(0..schema.fields().len());
            }
            columns.sort_unstable();
            columns.dedup();
            let source = self.graph.add_source();
            self.tables.insert(name, TableNode { source, columns: columns.clone() });
            self.sources.push(StreamSource { from: SourceFrom::Table(table, columns) });
        }
        Ok(())
    }

    /// The task context of steps.
    pub(super) fn context(&self) -> Arc<TaskContext> {
        self.step_state.task_ctx()
    }

    /// A physical expression over a plan's rows.
    pub(super) fn expression(&self, expression: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.state.create_physical_expr(expression.clone(), schema).map_err(running_error)
    }

    /// A physical plan for one node over leaves.
    pub(super) async fn physical(&mut self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = self.step_state.query_planner();
        planner.create_physical_plan(plan, &self.step_state).await.map_err(running_error)
    }

    pub(super) fn build<'b>(&'b mut self, plan: &'b LogicalPlan) -> BoxFuture<'b, Result<Built>> {
        Box::pin(async move {
            if is_static(plan) {
                return self.static_rows(plan).await;
            }
            match plan {
                LogicalPlan::TableScan(_) => self.scan(plan).await,
                LogicalPlan::SubqueryAlias(alias) => self.build(&alias.input).await,
                LogicalPlan::Projection(projection) => {
                    let input = self.build(&projection.input).await?;
                    let facts =
                        projection.expr.iter().map(|e| of_expression(e, &projection.input, &input.facts)).collect();
                    let expressions = projection
                        .expr
                        .iter()
                        .map(|e| self.expression(e, projection.input.schema()))
                        .collect::<Result<Vec<_>>>()?;
                    let schema = Arc::new(projection.schema.as_arrow().clone());
                    let node = self.graph.add(Box::new(Project::new(expressions, schema)), &[input.node]);
                    let of = self.keys.get(&input.node);
                    let key = of.map(|of| key::projected(of, &projection.expr, &projection.input));
                    self.note_key(node, key);
                    Ok(Built { node, facts })
                }
                LogicalPlan::Filter(filter) => {
                    let input = self.build(&filter.input).await?;
                    let predicate = self.expression(&filter.predicate, filter.input.schema())?;
                    let node = self.graph.add(Box::new(Filter::new(predicate)), &[input.node]);
                    self.note_key(node, self.keys.get(&input.node).cloned());
                    Ok(Built { node, facts: input.facts })
                }
                LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate).await,
                LogicalPlan::Join(join) => self.join(plan, join).await,
                LogicalPlan::Union(union) => self.union(union).await,
                LogicalPlan::Window(window) => self.window(plan, window).await,
                LogicalPlan::Unnest(unnest) => self.unnest(plan, unnest).await,
                LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Distinct(_) => self.at_the_end(plan).await,
                LogicalPlan::Extension(_) => match as_node(plan) {
                    Some(node) => self.as_of(plan, node).await,
                    None => Err(Error::internal("a plan of another engine")),
                },
                other => Err(Error::unsupported(format!("{} in a stream", first_word(other)))
                    .hint("run the text with fyke batch, or write it without")),
            }
        })
    }

    async fn scan(&mut self, plan: &LogicalPlan) -> Result<Built> {
        if let Some((body, projection)) = leaf::as_shared(plan) {
            let built = match self.bodies.get(&body) {
                Some(built) => built.clone(),
                None => {
                    let inner = self.shared.bodies[body].clone();
                    let built = self.build(&inner).await?;
                    self.bodies.insert(body, built.clone());
                    built
                }
            };
            return self.columns(&built, projection, plan);
        }
        let LogicalPlan::TableScan(scan) = plan else { return Err(Error::internal("a scan is no scan")) };
        let Some(table) = stream_table(plan) else { return Err(Error::internal("a stream without a table")) };
        let Some(known) = self.tables.get(&table.spec.name) else {
            return Err(Error::internal("a table has no source"));
        };
        let (source, read) = (known.source, known.columns.clone());
        let wanted: Vec<usize> =
            scan.projection.clone().unwrap_or_else(|| (0..scan.source.schema().fields().len()).collect());
        let schema = table.schema()?;
        let expressions = wanted
            .iter()
            .map(|column| -> Result<Arc<dyn PhysicalExpr>> {
                let at = read.binary_search(column).map_err(|_| Error::internal("a column was not read"))?;
                Ok(Arc::new(PhysicalColumn::new(schema.field(*column).name(), at)))
            })
            .collect::<Result<Vec<_>>>()?;
        let customer = table.customer_column();
        let facts = wanted
            .iter()
            .map(|column| {
                let name = schema.field(*column).name();
                if Some(name) == table.settings.time.event_time.as_ref() {
                    Fact::EventTime
                } else if Some(name) == customer.as_ref() {
                    Fact::Customer
                } else {
                    Fact::Plain
                }
            })
            .collect();
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let node = self.graph.add_reader(source, Box::new(Project::new(expressions, schema)));
        Ok(Built { node, facts })
    }

    fn columns(&mut self, built: &Built, projection: Option<Vec<usize>>, plan: &LogicalPlan) -> Result<Built> {
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let columns = projection.unwrap_or_else(|| (0..built.facts.len()).collect());
        let facts = columns.iter().filter_map(|at| built.facts.get(*at).copied()).collect();
        let expressions: Vec<Arc<dyn PhysicalExpr>> = columns
            .iter()
            .zip(schema.fields())
            .map(|(at, field)| Arc::new(PhysicalColumn::new(field.name(), *at)) as Arc<dyn PhysicalExpr>)
            .collect();
        let node = self.graph.add(Box::new(Project::new(expressions, schema)), &[built.node]);
        self.note_key(node, self.keys.get(&built.node).map(|of| key::selected(of, &columns)));
        Ok(Built { node, facts })
    }

    /// Rows that no stream has part in are computed before the job starts.
    async fn static_rows(&mut self, plan: &LogicalPlan) -> Result<Built> {
        self.reloads.refuse(plan)?;
        let rows = self.collect_static(plan).await?;
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let source = self.graph.add_source();
        self.sources.push(StreamSource { from: SourceFrom::Rows(rows) });
        let columns: Vec<Arc<dyn PhysicalExpr>> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| Arc::new(PhysicalColumn::new(field.name(), at)) as Arc<dyn PhysicalExpr>)
            .collect();
        let facts = vec![Fact::Plain; columns.len()];
        let node = self.graph.add_reader(source, Box::new(Project::new(columns, schema)));
        Ok(Built { node, facts })
    }

    pub(super) async fn collect_static(
        &mut self,
        plan: &LogicalPlan,
    ) -> Result<Vec<datafusion::arrow::array::RecordBatch>> {
        let plan = crate::batch::rewrite_group_by(plan.clone()).map_err(running_error)?;
        let plan = crate::as_of::rewrite_as_of(plan).map_err(running_error)?;
        let plan = self.state.create_physical_plan(&plan).await.map_err(running_error)?;
        collect(plan, self.state.task_ctx()).await.map_err(running_error)
    }

    async fn union(&mut self, union: &datafusion::logical_expr::Union) -> Result<Built> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            inputs.push(self.build(input).await?);
        }
        let columns = union.schema.fields().len();
        let facts = (0..columns)
            .map(|at| {
                let mut facts = inputs.iter().map(|input| input.facts.get(at).copied().unwrap_or(Fact::Plain));
                let first = facts.next().unwrap_or(Fact::Plain);
                if facts.all(|fact| fact == first) { first } else { Fact::Plain }
            })
            .collect();
        let nodes: Vec<NodeId> = inputs.iter().map(|input| input.node).collect();
        let schema = Arc::new(union.schema.as_arrow().clone());
        Ok(Built { node: self.graph.add(Box::new(Union::new(schema)), &nodes), facts })
    }

    /// Window functions (row_number, lag, …): over the rows that close together, if each partitions by the window.
    async fn window(&mut self, plan: &LogicalPlan, window: &datafusion::logical_expr::Window) -> Result<Built> {
        let input = self.build(&window.input).await?;
        let partitions = |expression: &Expr| -> Vec<Expr> {
            match expression {
                Expr::WindowFunction(function) => function.params.partition_by.clone(),
                Expr::Alias(alias) => match alias.expr.as_ref() {
                    Expr::WindowFunction(function) => function.params.partition_by.clone(),
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            }
        };
        let facts_of = |keys: &[Expr]| -> Vec<Fact> {
            keys.iter().map(|key| of_expression(key, &window.input, &input.facts)).collect()
        };
        let all: Vec<Vec<Expr>> = window.window_expr.iter().map(partitions).collect();
        let key = all.first().and_then(|keys| {
            let facts = facts_of(keys);
            keys.iter().zip(facts).find(|(_, fact)| fact.is_window()).map(|(key, _)| key.clone())
        });
        let key = key.filter(|key| all.iter().all(|keys| keys.contains(key)));
        let by_customer = key.is_some() && all.iter().all(|keys| facts_of(keys).contains(&Fact::Customer));
        if key.is_none() && !self.bounded && !self.early {
            return Err(Error::unsupported("a window function that does not partition by a window, in a live stream")
                .detail("its rows never come to an end")
                .hint("PARTITION BY the window column first, or run with --once"));
        }
        let mut facts = input.facts.clone();
        facts.resize(plan.schema().fields().len(), Fact::Plain);
        let time = match &key {
            Some(key) => Some(self.expression(key, window.input.schema())?),
            None => None,
        };
        self.step_of_one(plan, "Window", input, time, facts, by_customer).await
    }

    /// A step that keeps its input's columns, so that rows stay unique by the same ones.
    async fn step_of_one(
        &mut self,
        plan: &LogicalPlan,
        name: &str,
        input: Built,
        time: Option<Arc<dyn PhysicalExpr>>,
        facts: Vec<Fact>,
        by_customer: bool,
    ) -> Result<Built> {
        let key = self.keys.get(&input.node).cloned();
        let built = self.step(plan, name, vec![(input, time)], facts, by_customer).await?;
        self.note_key(built.node, key);
        Ok(built)
    }

    async fn unnest(&mut self, plan: &LogicalPlan, unnest: &datafusion::logical_expr::Unnest) -> Result<Built> {
        let input = self.build(&unnest.input).await?;
        let facts = unnest
            .dependency_indices
            .iter()
            .map(|from| match input.facts.get(*from) {
                Some(Fact::Windows(spec)) => Fact::Window(*spec),
                Some(fact) => *fact,
                None => Fact::Plain,
            })
            .collect();
        let slot = Slot::new(Arc::new(unnest.input.schema().as_arrow().clone()));
        let leaf = leaf::slot(0, &slot, unnest.input.schema()).map_err(running_error)?;
        let inner = plan.with_new_exprs(plan.expressions(), vec![leaf]).map_err(running_error)?;
        let physical = self.physical(&inner).await?;
        let operator = EachBatch::new("Unnest", slot, physical, self.context());
        Ok(Built { node: self.graph.add(Box::new(operator), &[input.node]), facts })
    }

    /// What needs all rows: sorting, limits.
    async fn at_the_end(&mut self, plan: &LogicalPlan) -> Result<Built> {
        if !self.bounded {
            return Err(Error::unsupported(format!("{} in a live stream", first_word(plan)))
                .detail("its input never comes to an end")
                .hint("leave it out, rank per window with row_number(), or run with --once"));
        }
        let Some(below) = plan.inputs().first().copied().cloned() else {
            return Err(Error::internal("a plan without input"));
        };
        let input = self.build(&below).await?;
        let facts = vec![Fact::Plain; plan.schema().fields().len()];
        self.step_of_one(plan, &first_word(plan), input, None, facts, false).await
    }

    /// A DataFusion node over the rows that close together. Facts of customers hold only where it is kept by customer.
    pub(super) async fn step(
        &mut self,
        plan: &LogicalPlan,
        name: &str,
        inputs: Vec<(Built, Option<Arc<dyn PhysicalExpr>>)>,
        facts: Vec<Fact>,
        by_customer: bool,
    ) -> Result<Built> {
        let mut ports = Vec::with_capacity(inputs.len());
        let mut leaves = Vec::with_capacity(inputs.len());
        for (number, (below, (_, window))) in plan.inputs().into_iter().zip(&inputs).enumerate() {
            let slot = Slot::new(Arc::new(below.schema().as_arrow().clone()));
            leaves.push(leaf::slot(number, &slot, below.schema()).map_err(running_error)?);
            ports.push(StepPort { slot, window: window.clone() });
        }
        let inner = plan.with_new_exprs(plan.expressions(), leaves).map_err(running_error)?;
        let physical = self.physical(&inner).await?;
        self.per_customer |= by_customer;
        let nodes: Vec<NodeId> = inputs.iter().map(|(built, _)| built.node).collect();
        let operator = Step::new(name, ports, physical, self.context(), by_customer);
        let keep = |fact: Fact| match fact {
            Fact::Customer if !by_customer => Fact::Plain,
            Fact::EventTime => Fact::Plain,
            fact => fact,
        };
        let node = self.graph.add(Box::new(operator), &nodes);
        Ok(Built { node, facts: facts.into_iter().map(keep).collect() })
    }
}

/// The stream table that a scan reads.
pub(super) fn stream_table(plan: &LogicalPlan) -> Option<Arc<FykeTable>> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    let provider = source_as_provider(&scan.source).ok()?;
    let provider = provider.downcast_ref::<Provider>()?;
    provider.table.unbounded.then(|| Arc::clone(&provider.table))
}

/// Whether no stream has part in a plan.
pub(super) fn is_static(plan: &LogicalPlan) -> bool {
    use datafusion::common::tree_node::TreeNode;
    !plan.exists(|node| Ok(stream_table(node).is_some() || leaf::as_shared(node).is_some())).unwrap_or(true)
}

pub(super) fn first_word(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([':', ' ']).next().unwrap_or_default().to_owned()
}
