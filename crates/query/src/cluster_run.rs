//! A script carried out by several processes: one coordinates, the others lend their workers.

use std::collections::VecDeque;
use std::sync::Arc;

use fyke_stream::cluster::{ClusterSettings, Room, Team, serve};
use fyke_stream::operators::Collected;
use fyke_stream::{Driver, Graph, Outlet, StopSignal};
use fyke_types::{Error, Result, Sink};

use crate::context::Context;
use crate::job::{Planned, SelectSink, Target};
use crate::reloads::Reloads;
use crate::run_settings::{RunSettings, SinkHows};
use crate::script::Script;
use crate::stream_plan::{PlanTo, StreamJob, plan_stream};

impl Context {
    /// A driver that coordinates the processes of a cluster; it begins anew from the last checkpoint, in the same
    /// process, whenever one is lost or has come.
    pub(crate) async fn coordinate(
        &self,
        targets: Vec<Target>,
        settings: &RunSettings,
        cluster: &ClusterSettings,
        select: SelectSink<'_>,
    ) -> Result<Driver> {
        if let Some(early) = targets.iter().find(|target| target.emit.is_some()) {
            return Err(Error::unsupported(format!("early results for {} in a run of several processes", early.name))
                .hint("leave out --hosts, or 'emit'"));
        }
        if settings.checkpoint.is_none() {
            return Err(Error::usage("a run of several processes needs checkpoints")
                .detail("when a process is lost, the others go on from the last one")
                .hint("give it --checkpoint"));
        }
        let room = Arc::new(Room::open(cluster.clone())?);
        let printed: Vec<Option<Box<dyn Sink>>> = targets
            .iter()
            .map(|target| target.is_printed().then(|| select(&target.schema())).transpose())
            .collect::<Result<_>>()?;
        let (context, settings) = (self.clone(), settings.clone());
        let first = context.generation(&targets, &settings, &room, printed).await?;
        Ok(first.with_others(Box::new(move |outlets| {
            // what is printed stays what it is; other outputs are opened anew, behind their last part
            let printed = outlets.into_iter().zip(&targets);
            let printed = printed.map(|(Outlet { sink, .. }, target)| target.is_printed().then_some(sink)).collect();
            wait_for(context.generation(&targets, &settings, &room, printed))
        })))
    }

    /// A driver with those processes that are there now.
    async fn generation(
        &self,
        targets: &[Target],
        settings: &RunSettings,
        room: &Arc<Room>,
        printed: Vec<Option<Box<dyn Sink>>>,
    ) -> Result<Driver> {
        let plans: Vec<PlanTo> = targets.iter().map(Target::planned).collect();
        let bounded = !settings.follow;
        let StreamJob { graph, sources, upserts, per_customer, .. } =
            plan_stream(plans.clone(), &self.state(), bounded, &Reloads::in_cluster(self)).await?;
        let graphs = self.plan_workers(&plans, bounded).await?;
        let Some(keeper) = self.keeper(settings)? else { return Err(Error::internal("a cluster without checkpoints")) };
        let generation = keeper.manifest().generation;
        let team = Team::of_cluster(Arc::clone(room), generation, graph, graphs)?;
        let mut hows = SinkHows::new(settings, Some(&keeper));
        let mut printed: VecDeque<_> = printed.into();
        let mut sinks = Vec::with_capacity(targets.len());
        for target in targets {
            let how = hows.of(&target.name);
            let sink = match printed.pop_front().flatten() {
                Some(sink) => sink,
                None => self.target_sink(target, None, &how, &|_| Err(Error::internal("a printer was lost")))?,
            };
            sinks.push((target.name.clone(), sink));
        }
        let job = Planned { execution: Box::new(team), sources, upserts, per_customer, static_tables: Vec::new() };
        self.driver(job, sinks, settings, Some(keeper), true)
    }

    /// A graph for each worker of this process.
    async fn plan_workers(&self, plans: &[PlanTo], bounded: bool) -> Result<Vec<(Graph, Vec<Collected>)>> {
        let mut graphs = Vec::with_capacity(self.workers());
        for _ in 0..self.workers() {
            let job = plan_stream(plans.to_vec(), &self.state(), bounded, &Reloads::in_cluster(self)).await?;
            graphs.push((job.graph, job.outputs));
        }
        Ok(graphs)
    }

    /// Lends this process to a cluster's run of a script, until that has come to its end or `stop` is set. It reads no
    /// source and writes no sink; `tell` hears what happens, for a log.
    ///
    /// # Errors
    /// Planning errors with their place, `Usage` where the coordinator runs another script.
    pub async fn serve_script(
        &self,
        script: &Script,
        settings: &RunSettings,
        stop: StopSignal,
        tell: impl Fn(&str) + Send + 'static,
    ) -> Result<()> {
        let Some(cluster) = settings.cluster.clone() else {
            return Err(Error::internal("a process that serves no cluster"));
        };
        let bounded = !settings.follow;
        let targets = self.prepare(script, true, bounded, &mut |_| {}).await?;
        let plans: Vec<PlanTo> = targets.iter().map(Target::planned).collect();
        let context = self.clone();
        let spill = self.spill()?;
        let served = tokio::task::spawn_blocking(move || {
            let mut replan = || wait_for(context.plan_workers(&plans, bounded));
            serve(&cluster, spill, &mut replan, &|| stop.is_set(), &tell)
        });
        served.await.map_err(|error| Error::internal("the process was cut short").detail(error))?
    }
}

/// Plans in a thread that is no part of a runtime.
fn wait_for<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::unavailable("the runtime can't start").detail(error))?.block_on(future)
}
