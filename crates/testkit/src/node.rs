//! Programs of npm packages, installed once per lockfile into the build's `target` folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::python::target_folder;

/// A folder named `name` with the files of `source` and the packages of its lockfile. Made at the first
/// use and whenever the lockfile is another one; its scripts are copied each time.
///
/// # Errors
/// Without Node, npm or a way to the registry.
pub fn node_folder(name: &str, source: &Path) -> Result<PathBuf> {
    let target = target_folder()?;
    let folder = target.join(format!("{name}-node"));
    // Tests are processes of their own; one of them makes it.
    let lock = File::create(target.join(format!("{name}-node.lock")))?;
    lock.lock()?;
    let wanted = fs::read(source.join("package-lock.json"))?;
    let complete = folder.join("complete");
    if !fs::read(&complete).is_ok_and(|installed| installed == wanted) {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file))?;
        }
        install(&folder)?;
        fs::write(&complete, &wanted)?;
    }
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            let file_name = path.file_name().context("a script has a name")?;
            let copy = folder.join(file_name);
            // Others may be reading it.
            if fs::read(&copy).ok() != Some(fs::read(&path)?) {
                fs::copy(&path, &copy)?;
            }
        }
    }
    Ok(folder)
}

fn install(folder: &Path) -> Result<()> {
    let advice = "it takes Node 18 or newer with npm (apt-get install nodejs npm) and a way to npm's \
                  registry";
    let output = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .output()
        .with_context(|| format!("npm ci: {advice}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("npm ci: {errors}: {advice}");
    }
    Ok(())
}
