//! The real operators for a case, put together by hand: a process starts in well under a millisecond.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::functions_aggregate::{count::count_udaf, sum::sum_udaf};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use fyke::types::{Span, WindowSpec, window};
use fyke_stream::operators::{Assign, Collect, Collected, Grouping, PaneAggregate, SessionAggregate, WindowAggregate};
use fyke_stream::state::Aggregate;
use fyke_stream::{Graph, NodeId, Operator};

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
pub type Outputs = Vec<(Pipeline, SchemaRef, Collected)>;

pub fn graph(case: &Case) -> (Graph, Outputs) {
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
