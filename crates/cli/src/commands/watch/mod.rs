//! `fyke watch`: who are the bots on my site?

pub mod board;
mod live;
mod report;
pub mod verdicts;
mod view;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use fyke::arrow::datatypes::SchemaRef;
use fyke::detect::{AllowList, CrawlerRanges, FEATURES, Rules, VERDICTS, fill, register_rules};
use fyke::detector::detector_script;
use fyke::types::Sink;
use fyke::{Context, Error, Result, RunSettings, Script};

use self::board::Board;
use self::verdicts::{COLUMNS, Collected};
use crate::drive::{check, cores, drive, runtime, source_lines};
use crate::script::name_and_value;
use crate::terminal::{Bar, Failure, ReportFormat, say};

/// Who are the bots on my site? Judges an access log and follows it, without configuration.
///
/// The format is guessed (common, combined, JSON with usual keys). What is there is read first; then every closed minute
/// is judged as it comes, in a table on the terminal. With --once, or where standard output is no terminal, it judges
/// what is there by visits, prints a report and ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Watch {
    /// Logs: files (also compressed), globs, folders, or `-` for standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<String>,

    /// Judge what is there, print a report, and end
    #[arg(long)]
    once: bool,

    /// How the report is printed: shares and reasons for people, or one JSON object a client
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,

    /// Clients that are never called bots: a file with an address, a network or `agent: part of it` a line
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,

    /// A folder with the published addresses of crawlers (googlebot.v4.txt, …): a claim to be one is then checked
    #[arg(long, value_name = "FOLDER")]
    crawlers: Option<PathBuf>,

    /// How the log is stored; `requests` guesses, others are named as after STORED AS
    #[arg(long, value_name = "FORMAT", default_value = "requests")]
    stored_as: String,

    /// How far lines may be out of order [default: 10 minutes with --once, else 10 seconds]
    #[arg(long, value_name = "DURATION")]
    lateness: Option<String>,

    /// A setting of the detector (bot_score, min_clients, …) or of the log's table (trusted_proxies, …)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    settings: Vec<(String, String)>,
}

const EXAMPLES: &str = "\
Examples:
  fyke watch /var/log/nginx/access.log
  fyke watch --once access.log access.log.1.gz
  fyke watch --once --format json 'logs/*.log' | jq 'select(.class == \"bot\")'
  fyke watch access.log --allow friends.txt --set bot_score=90
  fyke watch access.log --set trusted_proxies=10.0.0.0/8

Settings of the detector: session_gap, min_clients, night_from, night_to, bot_score,
suspect_score, attack_requests.
Keys: s, r, l sort by score, requests, last seen; arrows choose a client and show why; q leaves.";

impl Watch {
    /// From the log to the verdicts.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let once = self.once || self.format == ReportFormat::Json || !std::io::stdout().is_terminal();
        let context = self.context()?;
        let view = if once { "session_verdicts" } else { "minute_verdicts" };
        let text = format!("{}\nSELECT {COLUMNS} FROM {view};", self.script(once)?);
        let script = Script::parse(&text, "<detector>", &BTreeMap::new())?;
        let rows = Collected::default();
        let select = |_: &SchemaRef| -> Result<Box<dyn Sink>> { Ok(Box::new(rows.clone())) };
        let runtime = runtime()?;
        let mut explain = |_| {};
        let settings = RunSettings { follow: !once, ..RunSettings::default() };
        let planned = context.stream_script(&script, &settings, &select, &mut explain);
        let driver = runtime.block_on(planned)?;
        let bar = Bar::new(true, bytes_of(&self.logs));
        if !once {
            let progress = live::follow(driver, &rows, bar)?;
            source_lines(&progress).into_iter().for_each(say);
            check(&progress)?;
            return Ok(ExitCode::SUCCESS);
        }
        let progress = runtime.block_on(drive(driver, bar, false))?;
        let mut board = Board::default();
        rows.drain().into_iter().for_each(|row| board.take(row));
        match self.format {
            ReportFormat::Text => report::print_text(&board)?,
            ReportFormat::Json => report::print_json(&board)?,
        }
        source_lines(&progress).into_iter().for_each(say);
        check(&progress)?;
        Ok(ExitCode::SUCCESS)
    }

    fn context(&self) -> Result<Context> {
        let threads = cores().saturating_sub(1).clamp(1, 8);
        let context = fyke::context_with(|builder| builder.decode_threads(threads));
        let mut rules = Rules::default();
        if let Some(file) = &self.allow {
            rules.allow = AllowList::load(file)?;
        }
        if let Some(folder) = &self.crawlers {
            rules.crawlers = CrawlerRanges::load(folder)?;
        }
        register_rules(&context, &rules);
        Ok(context)
    }

    /// The detector over all logs.
    fn script(&self, once: bool) -> Result<String> {
        let mut options: BTreeMap<String, String> = self.settings.iter().cloned().collect();
        let lateness =
            self.lateness.clone().unwrap_or_else(|| if once { "10 minutes" } else { "10 seconds" }.to_owned());
        options.entry("lateness".to_owned()).or_insert(lateness);
        if let [log] = self.logs.as_slice() {
            return detector_script(log, &self.stored_as, &options);
        }
        self.script_over_several(&options)
    }

    /// A table a log, and `requests` as all of their rows.
    fn script_over_several(&self, options: &BTreeMap<String, String>) -> Result<String> {
        let is_detectors = |name: &str| fyke::detect::SETTINGS.iter().any(|setting| setting.name == name);
        let (settings, _): (BTreeMap<_, _>, BTreeMap<_, _>) =
            options.clone().into_iter().partition(|(name, _)| is_detectors(name));
        let mut text = String::new();
        let mut union = Vec::new();
        for (number, log) in self.logs.iter().enumerate() {
            let whole = detector_script(log, &self.stored_as, options)?;
            // the table comes first, up to its end
            let Some((table, _)) = whole.split_once(";\n") else {
                return Err(Error::internal("the detector's script has no table"));
            };
            let name = format!("log_{}", number + 1);
            text.push_str(&table.replacen("TABLE requests", &format!("TABLE {name}"), 1));
            text.push_str(";\n");
            union.push(format!("SELECT * FROM {name}"));
        }
        text.push_str(&format!("CREATE VIEW requests AS {};\n", union.join(" UNION ALL ")));
        Ok(text + &fill(FEATURES, &settings)? + "\n" + &fill(VERDICTS, &settings)?)
    }
}

/// Bytes of all logs, if each is a file.
fn bytes_of(logs: &[String]) -> Option<u64> {
    let bytes = |log: &String| std::fs::metadata(log).ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
    logs.iter().map(bytes).sum()
}
