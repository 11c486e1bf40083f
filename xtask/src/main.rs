//! The project's own chores. Run `cargo xtask help`.
#![expect(clippy::print_stdout, reason = "a command line")]

mod bench;
mod bench_kafka;
mod process;
mod servers;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures, as ratios in one run against a named peer.
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
    /// Real servers to develop against: downloaded once, on loopback, until they are told to end.
    Servers {
        #[command(subcommand)]
        servers: Servers,
    },
}

#[derive(Subcommand)]
enum Servers {
    /// Starts them, and prints where they listen.
    Up {
        /// Which; none: all.
        names: Vec<String>,
    },
    /// Ends them, and removes what they hold.
    Down {
        /// Which; none: all.
        names: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// The chained job: Fyke's whole process against DuckDB's query alone in a fresh process, in turn.
    Chain {
        /// Lines to generate.
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// Runs of each, in turn.
        #[arg(long, default_value_t = 7)]
        runs: usize,
    },
    /// What checkpoints cost: the chained job with one after every 20 ms, against the same without.
    Checkpoint {
        /// Lines to generate.
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// Runs of each, in turn.
        #[arg(long, default_value_t = 7)]
        runs: usize,
    },
    /// The chained job with one worker on one core, and with two on two.
    Workers {
        /// Lines to generate.
        #[arg(long, default_value_t = 4_000_000)]
        lines: u64,
        /// Runs of each, in turn.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Memory of open sessions, the size of their checkpoint, and how long it takes to go on from it after a kill.
    State {
        /// Sessions that are open.
        #[arg(long, default_value_t = 1_000_000)]
        sessions: u64,
    },
    /// The chained job through a real Kafka: a backlog against a consumer that only drains, and the delay of results.
    Kafka {
        #[command(flatten)]
        settings: bench_kafka::Settings,
    },
    /// The floor of `bench kafka`, a process of its own.
    #[command(hide = true)]
    KafkaDrain {
        /// Where the brokers are.
        brokers: String,
    },
    /// Peak memory over an input and one ten times longer with the same number of open groups.
    Memory {
        /// Lines of the shorter input.
        #[arg(long, default_value_t = 300_000)]
        lines: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Bench { bench: Bench::Chain { lines, runs } } => bench::chain(lines, runs),
        Task::Bench { bench: Bench::Checkpoint { lines, runs } } => bench::checkpoint(lines, runs),
        Task::Bench { bench: Bench::Workers { lines, runs } } => bench::workers(lines, runs),
        Task::Bench { bench: Bench::State { sessions } } => bench::state(sessions),
        Task::Bench { bench: Bench::Memory { lines } } => bench::memory(lines),
        Task::Bench { bench: Bench::Kafka { settings } } => bench_kafka::run(&settings),
        Task::Bench { bench: Bench::KafkaDrain { brokers } } => bench_kafka::drain_command(&brokers),
        Task::Servers { servers: Servers::Up { names } } => servers::up(&names),
        Task::Servers { servers: Servers::Down { names } } => servers::down(&names),
    }
}
