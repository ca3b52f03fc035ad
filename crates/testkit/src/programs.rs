//! Finds the programs tests start: the system's servers and our own binaries.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where Debian keeps daemons; not in every user's `PATH`.
const DAEMON_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Where Debian and Ubuntu keep one folder for each major version of PostgreSQL.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The built binary `name` of this workspace, beside the running test executable.
///
/// # Errors
/// When it is not built: `cargo test -p x` builds only the binaries of package `x`.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = env::current_exe().context("finding the running test executable")?;
    // target/<profile>/deps/<test> and target/<profile>/examples/<example>
    let folders: Vec<&Path> = test.ancestors().skip(1).take(2).collect();
    for folder in &folders {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "the binary `{name}` is not in {}: run `cargo build --workspace --bins` first (./test.sh does)",
        folders.last().unwrap_or(&test.as_path()).display()
    )
}

/// The program `name` from `PATH` or the folders of daemons; Debian's `package` has it.
///
/// # Errors
/// When it is not installed, with what to do.
pub fn program(name: &str, package: &str) -> Result<PathBuf> {
    in_path(name).with_context(|| {
        format!("`{name}` is not installed: run ./test.sh, which installs what the tests need, or `apt-get install {package}`")
    })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(DAEMON_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The folder with PostgreSQL's own programs: from `PATH`, else Debian's highest version.
pub(crate) fn postgres_folder() -> Result<PathBuf> {
    let complete = |folder: &Path| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    if let Some(folder) = in_path("initdb")
        .as_deref()
        .and_then(Path::parent)
        .filter(|folder| complete(folder))
    {
        return Ok(folder.to_path_buf());
    }
    let mut newest: Option<(u32, PathBuf)> = None;
    for entry in Path::new(POSTGRES_VERSIONS)
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
    {
        let Some(version) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let folder = entry.path().join("bin");
        if complete(&folder) && newest.as_ref().is_none_or(|(best, _)| version > *best) {
            newest = Some((version, folder));
        }
    }
    newest.map(|(_, folder)| folder).with_context(|| {
        format!(
            "PostgreSQL (`initdb`) is neither in PATH nor below {POSTGRES_VERSIONS}: run ./test.sh, which installs \
             what the tests need, or `apt-get install postgresql`"
        )
    })
}
