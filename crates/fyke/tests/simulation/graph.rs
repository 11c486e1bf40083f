//! The real operators for a case, put together by hand (a process starts in well under a millisecond), and who carries them
//! out.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{JoinType, NullEquality};
use datafusion::execution::TaskContext;
use datafusion::functions_aggregate::{count::count_udaf, sum::sum_udaf};
use datafusion::logical_expr::{AggregateUDF, Operator as Sign};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::streaming::StreamingTableExec;
use fyke::types::{Span, WindowSpec, window};
use fyke_stream::cluster::Team;
use fyke_stream::operators::{
    Assign, Collect, Collected, Filter, Grouping, IntervalJoin, JoinPort, JoinShape, PaneAggregate, Project,
    SessionAggregate, Shifted, Slot, Step, StepPort, WindowAggregate,
};
use fyke_stream::state::Aggregate;
use fyke_stream::{Alone, Execution, Graph, NodeId, Operator};

use super::case::{Case, GAP, HOP, Pipeline, REACH, TUMBLE, schema};
use super::network::Crew;

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

/// The case carried out in the caller's thread, or by the workers of a crew, with the columns of its outputs.
pub fn execution(case: &Case, crew: Option<&Crew>) -> Running {
    let (pattern, outputs) = graph(case);
    let columns = outputs.iter().map(|(pipeline, columns, _)| (*pipeline, Arc::clone(columns))).collect();
    let collected = |outputs: Outputs| outputs.into_iter().map(|(_, _, rows)| rows).collect();
    let Some(crew) = crew else { return (Box::new(Alone::new(pattern, collected(outputs))), columns) };
    let gathered = crew.gather();
    let one = || -> (Graph, Vec<Collected>) {
        let (graph, outputs) = graph(case);
        (graph, collected(outputs))
    };
    let processes = gathered.iter().map(|workers| (0..*workers).map(|_| one()).collect()).collect();
    (Box::new(Team::of_fate(pattern, processes, crew.fate(gathered))), columns)
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
        Pipeline::JoinedBack => {
            let columns = of(&clients);
            let first = graph.add_reader(source, tumble(clients));
            let hosts = grouping(&["host"], "client", "s", &columns, true);
            let of_hosts = of(&hosts);
            let given = Assign::Given(column("w", &columns));
            let second = graph.add(Box::new(WindowAggregate::new(hosts, given)), &[first]);
            // the client's count, the host's sum
            let step = window_join([&columns, &of_hosts], &["w", "host"], vec![0, 1, 2, 3, 8], true);
            (graph.add(Box::new(step), &[first, second]), columns)
        }
        Pipeline::Pairs => {
            let columns = of(&clients);
            let node = graph.add_reader(source, tumble(clients));
            let step = window_join([&columns, &columns], &["w", "client"], vec![0, 1, 2, 3, 9], false);
            (graph.add(Box::new(step), &[node, node]), columns)
        }
        Pipeline::Near => near(graph, source, &[("host", 1), ("client", 2), ("c", 3), ("s", 7)]),
        Pipeline::NearByHost => {
            let (node, near) = near(graph, source, &[("time", 0), ("host", 1), ("other", 7)]);
            let hosts = grouping(&["host"], "host", "other", &near, true);
            let columns = of(&hosts);
            let assign = Assign::Tumble { time: column("time", &near), width: Span::Micros(TUMBLE), offset: 0 };
            (graph.add(Box::new(WindowAggregate::new(hosts, assign)), &[node]), columns)
        }
        Pipeline::SessionsByHost => {
            let below = of(&clients);
            let sessions = SessionAggregate::new(clients, time, GAP).unwrap();
            let node = graph.add_reader(source, Box::new(sessions));
            let hosts = grouping(&["host"], "client", "s", &below, true);
            let columns = of(&hosts);
            let assign = Assign::Tumble { time: column("w", &below), width: Span::Micros(TUMBLE), offset: 0 };
            (graph.add(Box::new(WindowAggregate::new(hosts, assign)), &[node]), columns)
        }
    };
    let rows = Collected::default();
    graph.add(Box::new(Collect::new(rows.clone(), format!("{pipeline:?}"))), &[node]);
    (pipeline, columns, rows)
}

/// Rows of two inputs in one window, equal in `on`, of whose columns these come out.
fn window_join(inputs: [&SchemaRef; 2], on: &[&str], picked: Vec<usize>, by_customer: bool) -> Step {
    let slots = inputs.map(|input| Slot::new(Arc::clone(input)));
    let leaf = |slot: &Slot, of: &SchemaRef| -> Arc<dyn ExecutionPlan> {
        let partitions = vec![Arc::new(slot.clone()) as _];
        Arc::new(StreamingTableExec::try_new(Arc::clone(of), partitions, None, [], false, None).unwrap())
    };
    let on = on.iter().map(|name| (column(name, inputs[0]), column(name, inputs[1]))).collect();
    let [left, right] = [0, 1].map(|side| leaf(&slots[side], inputs[side]));
    let (mode, nulls) = (PartitionMode::CollectLeft, NullEquality::NullEqualsNothing);
    let plan =
        HashJoinExec::try_new(left, right, on, None, &JoinType::Inner, Some(picked), mode, nulls, false).unwrap();
    let ports = slots.into_iter().zip(inputs).map(|(slot, of)| StepPort { slot, window: Some(column("w", of)) });
    Step::new("Join", ports.collect(), Arc::new(plan), Arc::new(TaskContext::default()), by_customer)
}

/// Rows beside those of even number that are near them, as these columns of the pair.
fn near(graph: &mut Graph, source: usize, picked: &[(&str, usize)]) -> (NodeId, SchemaRef) {
    let input = schema();
    let all = graph.add_reader(source, Box::new(Filter::new(lit(true))));
    let two = Arc::new(BinaryExpr::new(column("n", &input), Sign::Modulo, lit(2_i64)));
    let even = Arc::new(BinaryExpr::new(two, Sign::Eq, lit(0_i64)));
    let even = graph.add_reader(source, Box::new(Filter::new(even)));
    let (join, pair) = interval_join(&input);
    let joined = graph.add(Box::new(join), &[all, even]);
    let column =
        |(_, at): &(&str, usize)| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(pair.field(*at).name(), *at)) };
    let field = |(name, at): &(&str, usize)| Field::new(*name, pair.field(*at).data_type().clone(), true);
    let columns: SchemaRef = Arc::new(Schema::new(picked.iter().map(field).collect::<Vec<_>>()));
    let project = Project::new(picked.iter().map(column).collect(), Arc::clone(&columns));
    (graph.add(Box::new(project), &[joined]), columns)
}

/// Rows of one host and client that are near each other; those of the left that have no partner too.
fn interval_join(input: &SchemaRef) -> (IntervalJoin, SchemaRef) {
    let pair = input.fields().iter().chain(input.fields()).cloned().collect::<Vec<_>>();
    let pair: SchemaRef = Arc::new(Schema::new(pair));
    let port = || JoinPort {
        keys: vec![column("host", input), column("client", input)],
        times: vec![Shifted { time: column("time", input), by: 0 }],
        until: vec![Shifted { time: column("time", input), by: REACH }],
    };
    let shape = JoinShape {
        join_type: JoinType::Left,
        ports: [port(), port()],
        key_types: vec![DataType::Utf8, DataType::Utf8],
        nulls_match: false,
        // the bounds are closed: they say who matches
        condition: None,
        pair: Arc::clone(&pair),
        schema: Arc::clone(&pair),
        by_customer: true,
    };
    (IntervalJoin::new(shape).unwrap(), pair)
}
