//! What a process holds, as Linux tells.

use std::fs;

use anyhow::{Context, Result};

/// A process's memory, MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// VmRSS: resident now.
    pub resident: f64,
    /// VmHWM: the most since [`reset_peak`].
    pub peak: f64,
    /// RssAnon: what of the resident is the process's own. The rest are pages of files, the program's
    /// own code above all, which the kernel takes back when it needs the room.
    pub anonymous: f64,
}

pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mib = |key: &str| -> Result<f64> {
        let line = status.lines().find(|line| line.starts_with(key));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = kib.context("a line of /proc/PID/status")?.parse()?;
        Ok(kib / 1024.0)
    };
    Ok(Memory {
        resident: mib("VmRSS:")?,
        peak: mib("VmHWM:")?,
        anonymous: mib("RssAnon:")?,
    })
}

/// The peak is counted from here on.
pub fn reset_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the peak of memory")
}
