//! Writes a labelled world, or the benchmark's input, into a folder.
//!
//! `cargo run --release -p fyke-simulate --example generate -- FOLDER [SEED] [json|combined|chain] [MINUTES or LINES]`

use std::path::Path;
use std::process::ExitCode;

use fyke_simulate::{LogFormat, World, WorldSettings, export, write_chain};

fn generate(arguments: &[String]) -> Result<String, Box<dyn std::error::Error>> {
    let folder = Path::new(arguments.first().ok_or("name a folder")?);
    let seed = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let what = arguments.get(2).map_or("json", String::as_str);
    let size = arguments.get(3).map(|text| text.parse::<u32>()).transpose()?;
    let format = match what {
        "json" => LogFormat::Json,
        "combined" => LogFormat::Combined,
        "chain" => {
            let stats = write_chain(folder, u64::from(size.unwrap_or(1_000_000)), seed)?;
            return Ok(format!("{} lines, {} bytes, {} groups", stats.lines, stats.bytes, stats.groups));
        }
        other => return Err(format!("'{other}' is none of json, combined, chain").into()),
    };
    let world = World::new(WorldSettings { seed, minutes: size.unwrap_or(90), ..WorldSettings::default() })?;
    let written = export(&world, folder, format)?;
    Ok(format!("{} lines, {} bytes, {} clients", written.lines, written.bytes, written.labels.len()))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to the person who runs it")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match generate(&arguments) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}
