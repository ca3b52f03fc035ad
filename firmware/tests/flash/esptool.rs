//! `esptool image-info`, Espressif's own word on an image.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use airlift_testkit::{ESPTOOL_VERSION, python_with};

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
    let output = Command::new(python_with("esptool", ESPTOOL_VERSION).unwrap())
        .args(["-m", "esptool", "image-info"])
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
