use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::disk::{Act, Disk};

/// How long processes that were killed may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills every process that has all of `marks` in its environment, but not the agent itself. Says
/// how many are left: the kernel may hold one.
pub fn kill_marked(disk: &Disk, marks: &[(&str, OsString)]) -> io::Result<usize> {
    let entries: Vec<Vec<u8>> = marks
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Again until none is found: they may start others meanwhile.
        let found = marked(&entries)?;
        if found.is_empty() || Instant::now() > deadline {
            return Ok(found.len());
        }
        for process in found {
            let act = Act::Kill {
                process: process.as_raw_nonzero().get(),
            };
            // It may have gone by itself.
            let _ = disk.act(act, || Ok(kill_process(process, Signal::KILL)?));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn marked(entries: &[Vec<u8>]) -> io::Result<Vec<Pid>> {
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if u32::try_from(process) == Ok(own) {
            continue;
        }
        // Gone, of another user, or dead already: none of ours.
        let Ok(environment) = fs::read(format!("/proc/{process}/environ")) else {
            continue;
        };
        let has = |entry: &Vec<u8>| environment.split(|byte| *byte == 0).any(|has| has == entry);
        if entries.iter().all(has) {
            found.extend(Pid::from_raw(process));
        }
    }
    Ok(found)
}
