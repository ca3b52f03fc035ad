//! `esptool image-info`, Espressif's own word on an image.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Another version may word its output in another way.
const VERSION: &str = "5.6.0";

/// What esptool says of an image.
#[derive(Debug, Clone)]
pub struct Verdict {
    is_success: bool,
    pub output: String,
}

impl Verdict {
    /// Whether it finds no fault. It exits with success for a wrong checksum or SHA-256, too, and
    /// says so only in words.
    pub fn is_good(&self) -> bool {
        self.is_success && self.output.contains("Checksum: ") && !self.output.contains("(invalid")
    }

    /// What stands behind `name: ` in its own line.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.output.lines();
        lines
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::trim)
            .next()
    }
}

pub fn image_info(image: &[u8]) -> Verdict {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("image-{}-{number}.bin", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, image).unwrap();
    let output = Command::new(program())
        .arg("image-info")
        .arg(&file)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Verdict {
        is_success: output.status.success(),
        output: text.into_owned(),
    }
}

/// The tool of this version from `PATH`, or else from a virtual environment under `target`, which
/// is made if need be.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .map(|folder| folder.join("esptool"))
        .find(|candidate| candidate.is_file());
    if let Some(program) = installed
        && let Ok(output) = Command::new(&program).arg("version").output()
        && String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(VERSION)
    {
        return program;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("esptool-venv");
    let complete = folder.join(format!("complete-{VERSION}"));
    // Tests run side by side, perhaps as processes of their own; one of them makes it.
    let lock = File::create(target.join("esptool-venv.lock")).unwrap();
    lock.lock().unwrap();
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let package = format!("esptool=={VERSION}");
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package]));
        fs::write(&complete, "").unwrap();
    }
    folder.join("bin/esptool")
}

fn run(command: &mut Command) {
    let advice = "the image tests need esptool: install it (pip install esptool), or python3 with \
                  venv and a way to PyPI";
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {advice}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}; {advice}");
}
