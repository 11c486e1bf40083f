//! Real servers for a developer: started here, they go on until `down`. What runs is noted in the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fyke_testbed::process::is_running;
use fyke_testbed::{SERVERS, cache, process};

const END: Duration = Duration::from_secs(15);

/// Starts the servers of these names, or all, and prints where they listen.
pub fn up(names: &[String]) -> Result<()> {
    process::let_servers_outlive();
    for name in chosen(names)? {
        if let Some((_, address, _)) = noted(name)?.filter(|(pid, _, folder)| is_ours(*pid, folder)) {
            println!("{name:<14} {address} (runs already)");
            continue;
        }
        let (_, start) = SERVERS.iter().find(|(known, _)| *known == name).context("a known name")?;
        let started = start().with_context(|| format!("{name} can't be started"))?;
        let note = format!("{}\n{}\n{}\n", started.pid, started.address, started.folder.display());
        fs::write(note_of(name)?, note)?;
        println!("{name:<14} {}", started.address);
    }
    Ok(())
}

/// Ends the servers of these names, or all, and removes their folders.
pub fn down(names: &[String]) -> Result<()> {
    for name in chosen(names)? {
        let Some((pid, _, folder)) = noted(name)? else { continue };
        if is_ours(pid, &folder) {
            end(pid)?;
            println!("{name:<14} ended");
        }
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        fs::remove_file(note_of(name)?)?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&str>> {
    let known = || SERVERS.iter().map(|(name, _)| *name);
    if names.is_empty() {
        return Ok(known().collect());
    }
    if let Some(wrong) = names.iter().find(|name| !known().any(|known| known == *name)) {
        bail!("there is no server '{wrong}'; known: {}", known().collect::<Vec<_>>().join(", "));
    }
    Ok(names.iter().map(String::as_str).collect())
}

fn note_of(name: &str) -> Result<PathBuf> {
    let folder = cache::folder()?.join("up");
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

/// Process, address and folder of a server that was started.
fn noted(name: &str) -> Result<Option<(u32, String, PathBuf)>> {
    let Ok(text) = fs::read_to_string(note_of(name)?) else { return Ok(None) };
    let mut lines = text.lines();
    let (pid, address, folder) = (lines.next(), lines.next(), lines.next());
    let all = (|| Some((pid?.parse().ok()?, address?.to_owned(), PathBuf::from(folder?))))();
    all.with_context(|| format!("{} can't be read: remove it", note_of(name).unwrap_or_default().display())).map(Some)
}

/// Whether the process is the one that was started: its number may have been given to another one since.
fn is_ours(pid: u32, folder: &Path) -> bool {
    let works_in = fs::read_link(format!("/proc/{pid}/cwd")).ok();
    let works_there = works_in.is_some_and(|at| at.starts_with(folder));
    // some servers go to their program's folder, but their settings lie in theirs
    let told = || fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_told = || String::from_utf8_lossy(&told()).contains(&*folder.to_string_lossy());
    is_running(pid) && (works_there || is_told())
}

fn end(pid: u32) -> Result<()> {
    let signal = |name: &str| cache::run(Command::new("kill").args([name, &pid.to_string()]));
    signal("-TERM")?;
    let started = Instant::now();
    while is_running(pid) && started.elapsed() < END {
        std::thread::sleep(Duration::from_millis(50));
    }
    if is_running(pid) { signal("-KILL") } else { Ok(()) }
}
