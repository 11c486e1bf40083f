//! The real operators for a case, put together by hand (a process starts in well under a millisecond), and who carries them
//! out.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::functions_aggregate::{count::count_udaf, sum::sum_udaf};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use fyke::types::{Micros, Span, WindowSpec, window};
use fyke_stream::cluster::Team;
use fyke_stream::operators::{Assign, Collect, Collected, Grouping, PaneAggregate, SessionAggregate, WindowAggregate};
use fyke_stream::state::{Aggregate, Spill};
use fyke_stream::{
    Alone, Closing, Customer, Execution, GiveOf, Graph, Marks, NodeId, NodeState, Operator, OperatorProgress, Saved,
    Tagged,
};

use super::case::{Case, GAP, HOP, Pipeline, TUMBLE, schema};

fn column(name: &str, of: &SchemaRef) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, of.index_of(name).unwrap()))
}

fn aggregate(function: Arc<AggregateUDF>, argument: &str, of: &SchemaRef) -> Aggregate {
    let name = format!("{}({argument})", function.name());
    let arguments = vec![column(argument, of)];
    let built = AggregateExprBuilder::new(function, arguments.clone()).schema(Arc::clone(of)).alias(&name).build();
    let built = Arc::new(built.unwrap());
    Aggregate { name, accumulator: Arc::new(move || built.create_groups_accumulator()), arguments, filter: None }
}

/// `SELECT window AS w, keys…, count(counted) AS c, sum(summed) AS s GROUP BY …`.
fn grouping(keys: &[&str], counted: &str, summed: &str, input: &SchemaRef, by_customer: bool) -> Grouping {
    let text = |name: &&str| Field::new(*name, DataType::Utf8, true);
    let mut fields = vec![Field::new("w", window::window_type(), true)];
    fields.extend(keys.iter().map(text));
    fields.extend(["c", "s"].map(|name| Field::new(name, DataType::Int64, true)));
    Grouping {
        keys: keys.iter().map(|key| column(key, input)).collect(),
        key_schema: Arc::new(Schema::new(keys.iter().map(text).collect::<Vec<_>>())),
        aggregates: vec![aggregate(count_udaf(), counted, input), aggregate(sum_udaf(), summed, input)],
        window_at: Some(0),
        schema: Arc::new(Schema::new(fields)),
        input: Arc::clone(input),
        by_customer,
    }
}

/// By pipeline: its columns, and where its rows are collected.
type Outputs = Vec<(Pipeline, SchemaRef, Collected)>;

/// Who carries the pipelines out, and what columns each gives.
pub type Running = (Box<dyn Execution>, Vec<(Pipeline, SchemaRef)>);

/// The case carried out by so many workers, with the columns of its outputs; 0 and 1: in the caller's thread.
pub fn execution(case: &Case, workers: usize) -> fyke::Result<Running> {
    let (pattern, outputs) = graph(case);
    let columns = outputs.iter().map(|(pipeline, columns, _)| (*pipeline, Arc::clone(columns))).collect();
    let collected = |outputs: Outputs| outputs.into_iter().map(|(_, _, rows)| rows).collect();
    if workers < 2 {
        return Ok((Box::new(Alone::new(pattern, collected(outputs))), columns));
    }
    let graphs = (0..workers).map(|_| graph(case)).map(|(graph, outputs)| (graph, collected(outputs)));
    Ok((Box::new(Sorted(Team::of_threads(pattern, graphs.collect())?)), columns))
}

/// Workers, whose rows come in an order that does not depend on who was faster.
struct Sorted(Team);

fn sorted(batches: Vec<RecordBatch>) -> fyke::Result<Vec<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(batches) };
    let all = concat_batches(&first.schema(), &batches)?;
    let fields = all.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(all.columns())?;
    let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(vec![take_record_batch(&all, &UInt32Array::from(order))?])
}

impl Execution for Sorted {
    fn feed(&mut self, source: usize, rows: Tagged) -> fyke::Result<()> {
        self.0.feed(source, rows)
    }

    fn feed_doubtful(&mut self, source: usize, row: Tagged, ticket: u64) -> fyke::Result<()> {
        self.0.feed_doubtful(source, row, ticket)
    }

    fn close_epoch(&mut self, marks: &[Marks]) -> fyke::Result<Closing> {
        let closing = self.0.close_epoch(marks)?;
        Ok(Closing { rows: closing.rows.into_iter().map(sorted).collect::<fyke::Result<_>>()?, ..closing })
    }

    fn closed_ahead(&mut self) -> fyke::Result<BTreeMap<Customer, Micros>> {
        self.0.closed_ahead()
    }

    fn snapshot(&mut self, give: GiveOf<'_>) -> fyke::Result<Vec<NodeState>> {
        self.0.snapshot(give)
    }

    fn pattern(&mut self) -> &mut Graph {
        self.0.pattern()
    }

    fn restore(&mut self, saved: Vec<Saved>) -> fyke::Result<()> {
        self.0.restore(saved)
    }

    fn progress(&mut self) -> fyke::Result<Vec<OperatorProgress>> {
        self.0.progress()
    }

    fn keep_within(&mut self, spill: &Arc<Spill>) -> fyke::Result<()> {
        self.0.keep_within(spill)
    }

    fn end(&mut self) {
        self.0.end();
    }
}

fn graph(case: &Case) -> (Graph, Outputs) {
    let mut graph = Graph::default();
    let source = graph.add_source();
    let outputs = case.pipelines.iter().map(|pipeline| add(&mut graph, source, *pipeline)).collect();
    (graph, outputs)
}

fn add(graph: &mut Graph, source: usize, pipeline: Pipeline) -> (Pipeline, SchemaRef, Collected) {
    let input = schema();
    let time = column("time", &input);
    let tumble = |grouping| -> Box<dyn Operator> {
        let assign = Assign::Tumble { time: column("time", &schema()), width: Span::Micros(TUMBLE), offset: 0 };
        Box::new(WindowAggregate::new(grouping, assign))
    };
    let clients = grouping(&["host", "client"], "n", "n", &input, true);
    let of = |grouping: &Grouping| Arc::clone(&grouping.schema);
    let (node, columns): (NodeId, SchemaRef) = match pipeline {
        Pipeline::Clients => {
            let columns = of(&clients);
            (graph.add_reader(source, tumble(clients)), columns)
        }
        Pipeline::Chained => {
            let below = of(&clients);
            let first = graph.add_reader(source, tumble(clients));
            let hosts = grouping(&["host"], "client", "s", &below, true);
            let columns = of(&hosts);
            let given = Assign::Given(column("w", &below));
            (graph.add(Box::new(WindowAggregate::new(hosts, given)), &[first]), columns)
        }
        Pipeline::Hops => {
            let hosts = grouping(&["host"], "n", "n", &input, true);
            let columns = of(&hosts);
            let spec = WindowSpec::Hop { width: HOP.0, slide: HOP.1, offset: 0 };
            (graph.add_reader(source, Box::new(PaneAggregate::new(hosts, time, spec))), columns)
        }
        Pipeline::Sessions => {
            let columns = of(&clients);
            let sessions = SessionAggregate::new(clients, time, GAP).unwrap();
            (graph.add_reader(source, Box::new(sessions)), columns)
        }
        Pipeline::Everybody => {
            let clients = grouping(&["client"], "n", "n", &input, false);
            let columns = of(&clients);
            (graph.add_reader(source, tumble(clients)), columns)
        }
    };
    let rows = Collected::default();
    graph.add(Box::new(Collect::new(rows.clone(), format!("{pipeline:?}"))), &[node]);
    (pipeline, columns, rows)
}
