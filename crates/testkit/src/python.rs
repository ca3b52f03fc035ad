//! Programs from PyPI, each in a virtual environment of its own.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Espressif's tool for images; another version may word its output in another way.
pub const ESPTOOL_VERSION: &str = "5.6.0";
/// Carries ESP-IDF's generator of SPIFFS images, and a reader of them.
pub const IDFTOOL_VERSION: &str = "1.3.0";

/// The Python of a virtual environment with `package` in exactly this `version`; its programs are
/// beside it. It is made under the build's `target` folder if it is not there yet, so it needs a way
/// to PyPI the first time.
///
/// # Errors
/// When it cannot be made.
pub fn python_with(package: &str, version: &str) -> Result<PathBuf> {
    let target = target_folder()?;
    let folder = target.join(format!("{package}-venv"));
    let python = folder.join("bin/python");
    let complete = folder.join(format!("complete-{version}"));
    // Tests are processes of their own; one of them makes it.
    let lock = File::create(target.join(format!("{package}-venv.lock")))?;
    lock.lock()?;
    if complete.exists() {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let requirement = format!("{package}=={version}");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &requirement]))?;
    fs::write(&complete, "")?;
    Ok(python)
}

/// The build's `target` folder, from the running test's own place in it.
pub fn target_folder() -> Result<PathBuf> {
    let test = env::current_exe().context("finding the running test executable")?;
    // target/<profile>/deps/<test>
    let target = test.ancestors().nth(3).map(Path::to_path_buf);
    target.context("the test executable does not lie in a target folder")
}

fn run(command: &mut Command) -> Result<()> {
    let advice = "it takes python3 with venv (apt-get install python3-venv) and a way to PyPI";
    let output = command
        .output()
        .with_context(|| format!("{command:?}: {advice}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {errors}: {advice}");
    }
    Ok(())
}
