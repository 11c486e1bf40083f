//! Other programs: cargo, Python with its packages, and the binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The folder that builds go into.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command to its end; its output if it succeeded.
pub fn output(command: &mut Command) -> Result<String> {
    let told = format!("{command:?}");
    let output = command.output().with_context(|| told.clone())?;
    if !output.status.success() {
        bail!("{told} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Seconds from start to exit.
pub fn timed(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    output(command)?;
    Ok(started.elapsed().as_secs_f64())
}

/// The release binary, built now; or the one that `FYKE_BINARY` names.
pub fn fyke() -> Result<PathBuf> {
    if let Some(built) = std::env::var_os("FYKE_BINARY") {
        return Ok(built.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built =
        Command::new(cargo).current_dir(root()).args(["build", "--release", "--package", "fyke-cli"]).status()?;
    if !built.success() {
        bail!("the release build failed");
    }
    Ok(target().join("release/fyke"))
}

/// A Python with DuckDB, in a virtual environment that is made once.
pub fn python() -> Result<PathBuf> {
    let venv = target().join("bench-venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        output(Command::new(&python).args(["-m", "pip", "install", "--quiet", "duckdb"]))?;
    }
    Ok(python)
}
