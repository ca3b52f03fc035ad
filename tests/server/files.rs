//! What lies on disk, and what should.

use std::{
    fs,
    path::Path,
    sync::{Mutex, Once},
};

use airlift::domain::{Bundle, Firmware};
use airlift_testkit::kept_log;

/// Of all files of a firmware.
pub fn digests(firmware: Firmware) -> Vec<String> {
    let bundle = firmware.bundle.iter();
    let beside = bundle.flat_map(Bundle::files_beside);
    let beside: Vec<String> = beside.map(|file| file.sha256.clone()).collect();
    [vec![firmware.sha256], beside].concat()
}

/// Names of all files in a folder and those below it.
pub fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    files
}

/// Writes what servers in this process log, more than an operator would let them, to where `test.sh`
/// looks for secrets.
pub fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Some(path) = kept_log("in-process") {
            let file = fs::File::create(path).unwrap();
            tracing_subscriber::fmt()
                .with_env_filter("debug,airlift=trace")
                .with_ansi(false)
                .with_writer(Mutex::new(file))
                .try_init()
                // A test that counts what is logged has its own.
                .ok();
        }
    });
}
