//! What servers are made of: fetched once by `curl`, checked against the sums that our own lists hold, kept for good.
//!
//! A list has a line per file: its SHA-256 and its path below a Maven repository, which `FYKE_MAVEN` names (default
//! Maven Central), or a whole `https://` address. Tests that run at once fetch once: the first holds a lock.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ring::digest::{Context as Digest, SHA256};

const MAVEN: &str = "https://repo.maven.apache.org/maven2";
const CHUNK_BYTES: usize = 1 << 20;

/// The cache folder.
///
/// # Errors
/// When there is no home folder, or it can't be made.
pub fn folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let default = || {
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
        Some(cache.join("fyke-servers"))
    };
    let folder = set("FYKE_SERVERS").or_else(default).context("set FYKE_SERVERS to a folder for downloaded servers")?;
    let folder = std::path::absolute(folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    Ok(folder)
}

/// A folder with the files of `list`, all side by side: what `java -cp 'FOLDER/*'` takes.
///
/// # Errors
/// When something can't be fetched, or is not what the list says.
pub fn files(name: &str, list: &str) -> Result<PathBuf> {
    once(name, list, |into| {
        for (sum, from) in lines(list)? {
            fetch(from, sum, &into.join(file_name(from)))?;
        }
        Ok(())
    })
}

/// A folder with what the one archive (`.zip` or `.tar.gz`) of `list` holds.
///
/// # Errors
/// As [`files`], and when it can't be unpacked.
pub fn unpacked(name: &str, list: &str) -> Result<PathBuf> {
    once(name, list, |into| {
        for (sum, from) in lines(list)? {
            let archive = into.join(file_name(from));
            fetch(from, sum, &archive)?;
            if from.ends_with(".zip") {
                zip::ZipArchive::new(File::open(&archive)?)?.extract(into)?;
            } else {
                run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(into))?;
            }
            fs::remove_file(&archive)?;
        }
        Ok(())
    })
}

/// `fill` makes the folder `name` of what `recipe` says, once for all processes and for good; another recipe makes
/// another folder.
///
/// # Errors
/// What `fill` says.
pub fn once(name: &str, recipe: &str, fill: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let sum = hexadecimal(ring::digest::digest(&SHA256, recipe.as_bytes()).as_ref());
    let cache = folder()?;
    let wanted = cache.join(format!("{name}-{}", sum.get(..12).unwrap_or(&sum)));
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    lock.lock()?;
    if wanted.is_dir() {
        return Ok(wanted);
    }
    let unfinished = cache.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    fill(&unfinished).with_context(|| format!("{name} can't be made ready in {}", cache.display()))?;
    fs::rename(&unfinished, &wanted)?;
    Ok(wanted)
}

fn lines(list: &str) -> Result<Vec<(&str, &str)>> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once("  ").with_context(|| format!("no sum and path: {line}"))).collect()
}

fn file_name(from: &str) -> &str {
    from.rsplit('/').next().unwrap_or(from)
}

/// Fetches an address or a path below the Maven repository, unless it is not what `sum` says.
fn fetch(from: &str, sum: &str, into: &Path) -> Result<()> {
    let maven = std::env::var("FYKE_MAVEN").unwrap_or_else(|_| MAVEN.to_owned());
    let address = match from.contains("://") {
        true => from.to_owned(),
        false => format!("{}/{from}", maven.trim_end_matches('/')),
    };
    let retries = ["--retry", "4", "--retry-delay", "1", "--connect-timeout", "20"];
    run(Command::new("curl").args(["-fsSL"]).args(retries).arg("-o").arg(into).arg(&address))?;
    let found = sum_of(into)?;
    ensure!(found == sum, "{address} has the sum {found}, not {sum}");
    Ok(())
}

fn sum_of(path: &Path) -> Result<String> {
    let (mut file, mut digest, mut chunk) = (File::open(path)?, Digest::new(&SHA256), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hexadecimal(digest.finish().as_ref())),
            read => digest.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a command that must succeed; what it said is in the error.
///
/// # Errors
/// When it can't be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{:?} can't be started", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_line_without_comments() {
        let list = "# jars\n\nab  org/x/x-1.jar\ncd  https://host/y.zip\n";
        assert_eq!(lines(list).expect("a list"), [("ab", "org/x/x-1.jar"), ("cd", "https://host/y.zip")]);
        assert!(lines("org/x/x-1.jar").is_err());
    }

    #[test]
    fn a_file_is_known_by_its_sum() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("abc");
        fs::write(&file, "abc").expect("written");
        let sum = sum_of(&file).expect("a sum");
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
