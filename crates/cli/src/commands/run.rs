//! `fyke run`: a script as a stream, live or over what exists now.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fyke::arrow::datatypes::SchemaRef;
use fyke::checkpoint::Every;
use fyke::detect::{Models, register};
use fyke::types::{Sink, parse_bytes, parse_duration_us};
use fyke::{
    CheckpointSettings, ClusterSettings, Context, Emit, Error, Progress, Result, RunSettings, Script, SinkMode,
    StatementKind, StopSignal,
};
use fyke_server::Server;

use crate::drive::{check, cores, drive, line_of, report, runtime, until_told};
use crate::script::ScriptArguments;
use crate::terminal::{Bar, Failure, PrintFormat, Printer, ReportFormat, draws_on_one_screen, out, say};

/// Run a script as a stream: live, or with --once over what exists now.
///
/// Live, it goes on until Ctrl-C (or SIGTERM), then finishes what was read; a second Ctrl-C leaves at once. At the end
/// it says for each source: read = used + late + dead.
///
/// With --checkpoint it does not finish what is open: the next run with the same folder goes on with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    #[command(flatten)]
    script: ScriptArguments,

    /// Read what exists now, close every window, and end
    #[arg(long)]
    once: bool,

    /// A folder or s3://bucket/prefix of this run's own for checkpoints: after a stop or a crash the same command goes on
    /// where it stood. Outputs become folders of parts, and each row appears in them once
    #[arg(long, value_name = "PLACE")]
    checkpoint: Option<String>,

    /// How often a checkpoint is written; results appear with it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration_us, requires = "checkpoint")]
    checkpoint_every: i64,

    /// Go on from a checkpoint of another text: what fits of it is used, the rest starts empty
    #[arg(long, requires = "checkpoint")]
    changed_query: bool,

    /// Early results of bare SELECTs: changed groups are printed at most this often, before their windows close. A
    /// column `op` says what each row is: `upsert` replaces the one of the same key, `delete` takes it back
    #[arg(long, value_name = "DURATION", value_parser = duration_us)]
    update_every: Option<i64>,

    #[command(flatten)]
    cluster: Cluster,

    /// Serve /metrics, /progress, /healthz and /readyz at this address; port 0 takes any
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// Say on standard error how the run gets on, this often
    #[arg(long, value_name = "DURATION", value_parser = duration_us)]
    progress_every: Option<i64>,

    /// How that is said; json is one object a line
    #[arg(long, value_enum, default_value_t, requires = "progress_every")]
    progress_format: ReportFormat,

    #[command(flatten)]
    output: Output,
}

/// Which processes carry out a run together.
#[derive(Debug, clap::Args)]
struct Cluster {
    /// A file with a host:port a line, one for each process that takes part. The first line is the coordinator: it reads
    /// the sources, writes the outputs and the checkpoints
    #[arg(long, value_name = "FILE", requires_all = ["index", "token_file"])]
    hosts: Option<PathBuf>,

    /// Which line of the hosts file this process is, counted from 0
    #[arg(long, value_name = "I", requires = "hosts")]
    index: Option<usize>,

    /// A file with what all processes know, 16 characters at least
    #[arg(long, value_name = "FILE", requires = "hosts")]
    token_file: Option<PathBuf>,

    /// A process of which nothing was heard for so long is lost
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration_us, requires = "hosts")]
    peer_timeout: i64,

    /// How long the coordinator waits for processes that are missing before it goes on without them
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration_us, requires = "hosts")]
    peer_wait: i64,

    /// A process is lost, although it says that it is alive, if one of its workers does not answer for so long although it
    /// was asked: it hangs
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration_us, requires = "hosts")]
    worker_timeout: i64,
}

impl Cluster {
    fn settings(&self) -> Result<Option<ClusterSettings>> {
        let (Some(hosts), Some(index), Some(token)) = (&self.hosts, self.index, &self.token_file) else {
            return Ok(None);
        };
        let text = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| Error::usage(format!("{} can't be read", path.display())).detail(error))
        };
        let mut settings = ClusterSettings::new(&text(hosts)?, index, &text(token)?)?;
        let duration = |us: i64| Duration::from_micros(us.unsigned_abs().max(1));
        (settings.peer_timeout, settings.peer_wait) = (duration(self.peer_timeout), duration(self.peer_wait));
        settings.worker_timeout = duration(self.worker_timeout);
        // several signs of life fit into the time after which a process is lost
        settings.heartbeat = settings.heartbeat.min(settings.peer_timeout / 5);
        Ok(Some(settings))
    }
}

/// Reads a number of bytes.
fn byte_count(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "write it as 512MB, 64 KiB or a number".to_owned())
}

/// Reads a duration.
fn duration_us(text: &str) -> Result<i64, String> {
    parse_duration_us(text).ok_or_else(|| "write it as 10s, 500ms or '2 minutes'".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  fyke run sessions.sql --set LOGS='logs/*.json' --set OUT=sessions.parquet --once
  fyke run sessions.sql --set LOGS=logs/ --set OUT=sessions/ --checkpoint state/
  fyke run -e \"CREATE UNBOUNDED EXTERNAL TABLE log STORED AS REQUESTS LOCATION 'access.log'
     OPTIONS ('event_time' 'time'); SELECT client_ip, path FROM log WHERE status = 404\" --format json
  cat access.log | fyke run job.sql --set LOGS=- --once";

/// How rows leave a run.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// How the rows of a bare SELECT are printed
    #[arg(long, value_enum, default_value_t)]
    format: PrintFormat,

    /// Replace outputs that hold rows of another run; without it they are refused
    #[arg(long)]
    overwrite: bool,

    /// Threads that decode, beside the one that computes [default: one less than the cores, at least 1]
    #[arg(long, value_name = "N")]
    decode_threads: Option<usize>,

    /// Threads that carry out the operators of a stream, each for its share of the keys; a checkpoint resumes with any
    /// number of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=128))]
    workers: u8,

    /// How much memory a stream's state may take, such as 512MB; what is beyond goes to disk [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = byte_count)]
    memory_budget: Option<usize>,

    /// Where that is put [default: the machine's folder for temporary files]
    #[arg(long, value_name = "FOLDER", requires = "memory_budget")]
    spill_folder: Option<PathBuf>,

    /// The folder of models that predict() finds beside the shipped one
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    registry: PathBuf,

    /// No progress, and no counters at the end (errors are said all the same)
    #[arg(long, short)]
    quiet: bool,
}

impl Output {
    /// A context as the arguments want it.
    pub fn context(&self) -> Context {
        let threads = self.decode_threads.unwrap_or_else(|| cores().saturating_sub(1).clamp(1, 8));
        let context = fyke::context_with(|builder| {
            let builder = builder.decode_threads(threads).partitions(cores()).workers(usize::from(self.workers));
            match self.memory_budget {
                Some(bytes) => builder.memory_budget(bytes, self.spill_folder.clone()),
                None => builder,
            }
        });
        register(&context, &Models::with_registry(&self.registry));
        context
    }

    /// Whether outputs may be replaced.
    pub fn mode(&self) -> SinkMode {
        if self.overwrite { SinkMode::Overwrite } else { SinkMode::Append }
    }

    /// Whether nothing but rows and errors is to be said.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Makes the printer of a bare SELECT.
    pub fn printer(&self, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Printer::new(self.format, schema)?))
    }
}

impl Run {
    fn settings(&self) -> Result<RunSettings> {
        let checkpoint = self.checkpoint.as_deref().map(CheckpointSettings::at).transpose()?;
        let checkpoint = checkpoint.map(|settings| CheckpointSettings {
            every: Every::Time(self.checkpoint_every),
            may_change: self.changed_query,
            ..settings
        });
        let select_emit = self.update_every.map(|every| Emit { changelog: true, ..Emit::update(every) });
        let cluster = self.cluster.settings()?;
        Ok(RunSettings { follow: !self.once, mode: self.output.mode(), checkpoint, cluster, select_emit })
    }

    /// Lends this process to a run that another one coordinates.
    fn serve(&self, context: &Context, script: &Script, settings: &RunSettings) -> Result<()> {
        let stop = StopSignal::default();
        let quiet = self.output.quiet;
        let tell = move |what: &str| {
            if !quiet {
                say(format!("this process {what}"));
            }
        };
        runtime()?.block_on(until_told(stop.clone(), context.serve_script(script, settings, stop, tell)))
    }

    /// From the script to the counters.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let started = Instant::now();
        let (script, text) = self.script.load()?;
        let runtime = runtime()?;
        let context = self.output.context();
        let select = |schema: &SchemaRef| self.output.printer(schema);
        let mut plans = Vec::new();
        let mut explain = |plan: String| plans.push(plan);
        let settings = self.settings()?;
        if settings.cluster.as_ref().is_some_and(|cluster| !cluster.is_coordinator()) {
            self.serve(&context, &script, &settings).map_err(|error| text.failure(error))?;
            return Ok(ExitCode::SUCCESS);
        }
        let planned = context.stream_script(&script, &settings, &select, &mut explain);
        let driver = runtime.block_on(planned).map_err(|error| text.failure(error))?;
        plans.iter().try_for_each(out)?;
        if !asks_for_rows(&script) {
            return Ok(ExitCode::SUCCESS);
        }
        let only_printed = script
            .statements
            .iter()
            .all(|s| !matches!(s.kind, StatementKind::Copy { .. } | StatementKind::Insert { .. }));
        let prints = script.statements.iter().any(|s| matches!(s.kind, StatementKind::Select(_)));
        // rows and a bar would be drawn over each other
        let in_the_way = prints && draws_on_one_screen();
        let bytes_total = driver.bytes_total();
        if let Some(address) = self.metrics {
            let server = Server::start(address, driver.progress_handle())?;
            say(format!("metrics at http://{}/metrics", server.address()));
        }
        if let Some(every) = self.progress_every {
            log_progress(driver.progress_handle(), every, self.progress_format);
        }
        let quiet = self.output.quiet || self.progress_every.is_some();
        let bar = Bar::new(!quiet && !in_the_way, bytes_total);
        let progress = runtime.block_on(drive(driver, bar, only_printed)).map_err(|error| text.failure(error))?;
        if !self.output.quiet {
            report(&progress, started.elapsed());
        }
        check(&progress)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says how a run gets on, from a thread that ends with the process.
fn log_progress(progress: Arc<Mutex<Progress>>, every: i64, format: ReportFormat) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_micros(every.unsigned_abs().max(1_000)));
            let progress = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match format {
                ReportFormat::Text => say(line_of(&progress)),
                ReportFormat::Json => say(serde_json::to_string(&progress).unwrap_or_default()),
            }
        }
    });
}

/// Whether there is more than definitions and EXPLAINs.
pub fn asks_for_rows(script: &Script) -> bool {
    script.statements.iter().any(|statement| {
        matches!(statement.kind, StatementKind::Copy { .. } | StatementKind::Insert { .. } | StatementKind::Select(_))
    })
}
