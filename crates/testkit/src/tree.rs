//! The processes below a process, from `/proc`. PostgreSQL's children lead groups of their own, so
//! that killing its process group would leave them running.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A stopped or killed process takes microseconds; on an overloaded machine a bit more.
const STATE_LIMIT: Duration = Duration::from_secs(5);
const STATE_POLL: Duration = Duration::from_millis(2);

/// Kills everything below `leader`, and `leader` itself last. `leader` is stopped first so that it
/// neither forks nor reacts to its children's end. Returns when the children are gone; the caller
/// waits for `leader`.
pub(crate) fn kill_hard(leader: Pid) {
    if kill_process(leader, Signal::STOP).is_ok() {
        wait_until(|| matches!(stat(leader), None | Some(('T' | 't' | 'Z' | 'X', _))));
    }
    let children = below(leader);
    for child in &children {
        let _ = kill_process(*child, Signal::KILL);
    }
    let _ = kill_process(leader, Signal::KILL);
    wait_until(|| {
        children
            .iter()
            .all(|child| matches!(stat(*child), None | Some(('Z' | 'X', _))))
    });
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < STATE_LIMIT {
        thread::sleep(STATE_POLL);
    }
}

fn below(leader: Pid) -> Vec<Pid> {
    let all: Vec<(Pid, Pid)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .parse()
                .ok()
                .and_then(Pid::from_raw)
        })
        .filter_map(|pid| Some((pid, stat(pid)?.1?)))
        .collect();
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            all.iter()
                .filter(|(_, above)| *above == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// State letter and parent of a process (proc_pid_stat(5)); none when there is no such process.
fn stat(pid: Pid) -> Option<(char, Option<Pid>)> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The second field is the program's name in parentheses, which may hold spaces and parentheses.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok().and_then(Pid::from_raw)))
}
