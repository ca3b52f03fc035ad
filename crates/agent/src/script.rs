use std::{
    ffi::OsString,
    fmt, io,
    io::{PipeReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};

use crate::disk::{Act, Disk};

/// So much of a command's output is kept, in bytes: its end.
pub const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// A command's output goes to the log in lines of at most so many bytes.
const LINE_BYTES_MAX: usize = 1 << 10;
/// How long the end of the output is waited for after the command has exited.
const DRAIN: Duration = Duration::from_millis(250);
/// Longest time between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Waits until the agent says so, and becomes the command. An agent that is killed while it starts a
/// process, before that can be told by its environment, never says so: then nothing is run behind
/// the back of the recovery.
const WAIT_FOR_GO: &str = "read -r go && exec \"$0\" \"$@\" < /dev/null";
/// What systemd says to the agent alone.
const AGENTS_OWN: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Which of a package's commands it is: `OTA_STAGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Before,
    After,
    Health,
    Restore,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Before => "before",
            Stage::After => "after",
            Stage::Health => "health",
            Stage::Restore => "restore",
        }
    }
}

/// As people know it from `content.json`.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Stage::Before => "BeforeUpdate",
            Stage::After => "AfterUpdate",
            Stage::Health => "health",
            Stage::Restore => "restore",
        })
    }
}

/// A command of a package, about to run.
pub struct Script {
    pub package: String,
    pub stage: Stage,
    /// The shell and its arguments.
    pub command: Vec<OsString>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Beside the agent's own.
    pub environment: Vec<(&'static str, OsString)>,
    pub limit: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

#[derive(Debug)]
pub enum Ending {
    Exited(ExitStatus),
    /// It was killed, with its whole process group.
    TimedOut(Duration),
    NotStarted(io::Error),
}

/// How a command went.
#[derive(Debug)]
pub struct Ran {
    pub ending: Ending,
    /// The end of what it wrote, at most [`OUTPUT_BYTES_MAX`].
    pub output: String,
}

impl Ran {
    pub fn succeeded(&self) -> bool {
        matches!(self.ending, Ending::Exited(status) if status.success())
    }

    pub fn timed_out(&self) -> bool {
        matches!(self.ending, Ending::TimedOut(_))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.ending {
            Ending::Exited(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exited with {code}")?,
                (None, Some(signal)) => write!(f, "was ended by signal {signal}")?,
                (None, None) => write!(f, "ended: {status}")?,
            },
            Ending::TimedOut(limit) => {
                write!(
                    f,
                    "ran longer than {} s and was killed",
                    limit.as_secs_f32()
                )?;
            }
            Ending::NotStarted(error) => write!(f, "could not be started: {error}")?,
        }
        match self.output.trim_end() {
            "" => write!(f, "; it wrote nothing"),
            output => write!(f, "; its output ends: {output}"),
        }
    }
}

enum Event {
    Exited,
    OutputEnded,
}

impl Script {
    /// Runs it to its end, or to the time limit. `beat` is called at least every second.
    pub fn run(&self, disk: &Disk, beat: &dyn Fn()) -> Ran {
        let (sender, events) = mpsc::channel();
        let tail = Arc::new(Mutex::new(Tail::default()));
        let ending = match self.start(disk, &tail, sender) {
            Ok(mut child) => self.attend(&mut child, &events, beat),
            Err(error) => Ending::NotStarted(error),
        };
        let output = tail.lock().unwrap_or_else(PoisonError::into_inner).text();
        Ran { ending, output }
    }

    fn start(
        &self,
        disk: &Disk,
        tail: &Arc<Mutex<Tail>>,
        events: Sender<Event>,
    ) -> io::Result<Child> {
        let (reader, writer) = io::pipe()?;
        let (wait, mut go) = io::pipe()?;
        let mut command = Command::new(&self.command[0]);
        command
            .args(["-c", WAIT_FOR_GO])
            .args(&self.command)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(wait)
            .stdout(writer.try_clone()?)
            .stderr(writer);
        for name in AGENTS_OWN {
            command.env_remove(name);
        }
        let act = Act::Script {
            package: self.package.clone(),
            stage: self.stage.as_str().to_owned(),
        };
        let started = disk.act(act, || {
            let child = command.spawn()?;
            // It may have been killed already; then its end says so.
            let _ = go.write_all(b"go\n");
            Ok(child)
        });
        let mut child = started.map_err(|error| {
            let (program, folder) = (self.command[0].display(), self.folder.display());
            io::Error::new(error.kind(), format!("{program} in {folder}: {error}"))
        })?;
        // It holds the writing end of the output.
        drop(command);
        let watched = self.watch(&child, reader, tail, events);
        if watched.is_err() {
            kill_group(&child, Signal::KILL);
            let _ = child.wait();
        }
        watched.map(|()| child)
    }

    /// Has two threads wait: for its end, and for its output's. The latter lives on with a
    /// background process that keeps the output open, so that it is not killed by SIGPIPE.
    fn watch(
        &self,
        child: &Child,
        reader: PipeReader,
        tail: &Arc<Mutex<Tail>>,
        events: Sender<Event>,
    ) -> io::Result<()> {
        let pid = pid_of(child).ok_or_else(|| io::Error::other("it has no process id"))?;
        let exits = events.clone();
        thread::Builder::new().spawn(move || {
            // NOWAIT: until it is reaped, no other process can get its id.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            let _ = exits.send(Event::Exited);
        })?;
        let tail = tail.clone();
        let (package, stage) = (self.package.clone(), self.stage);
        thread::Builder::new().spawn(move || {
            collect(reader, &tail, &package, stage);
            let _ = events.send(Event::OutputEnded);
        })?;
        Ok(())
    }

    fn attend(&self, child: &mut Child, events: &Receiver<Event>, beat: &dyn Fn()) -> Ending {
        let mut output_ended = false;
        let mut wait = |limit| wait_for_exit(events, limit, &mut output_ended, beat);
        let in_time = wait(self.limit);
        if !in_time {
            kill_group(child, Signal::TERM);
            wait(self.grace);
            kill_group(child, Signal::KILL);
            // Even SIGKILL waits for a process that the kernel holds.
            wait(self.grace);
        }
        let status = match child.try_wait() {
            Ok(Some(status)) if in_time => status,
            Ok(_) => return Ending::TimedOut(self.limit),
            Err(error) => return Ending::NotStarted(error),
        };
        let deadline = Instant::now() + DRAIN;
        while !output_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left) {
                Ok(Event::OutputEnded) | Err(_) => output_ended = true,
                Ok(Event::Exited) => {}
            }
        }
        Ending::Exited(status)
    }
}

/// Whether it exited within `limit`.
fn wait_for_exit(
    events: &Receiver<Event>,
    limit: Duration,
    output_ended: &mut bool,
    beat: &dyn Fn(),
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left.min(BEAT)) {
            Ok(Event::Exited) => return true,
            Ok(Event::OutputEnded) => *output_ended = true,
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return false,
            Err(RecvTimeoutError::Timeout) => beat(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

fn kill_group(child: &Child, signal: Signal) {
    if let Some(pid) = pid_of(child) {
        // Fails if nobody is left in it, which is what is wanted.
        let _ = kill_process_group(pid, signal);
    }
}

fn collect(mut reader: PipeReader, tail: &Mutex<Tail>, package: &str, stage: Stage) {
    let mut line = Vec::new();
    let say = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let (text, stage_name) = (text.trim_end(), stage.as_str());
        match stage {
            // Tried each second; what the last try said is in the failure.
            Stage::Health => tracing::debug!(package, stage = stage_name, "{text}"),
            _ => tracing::info!(package, stage = stage_name, "{text}"),
        }
    };
    let mut log = |bytes: &[u8], is_end: bool| {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= LINE_BYTES_MAX {
                say(&line);
                line.clear();
            }
        }
        if is_end && !line.is_empty() {
            say(&line);
        }
    };
    let mut buffer = [0; LINE_BYTES_MAX];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                tail.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(&buffer[..count]);
                log(&buffer[..count], false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    log(&[], true);
}

/// The end of what was written.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    was_cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * OUTPUT_BYTES_MAX {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
        self.was_cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// Valid UTF-8 without NULs, which databases refuse.
    fn text(&mut self) -> String {
        self.cut();
        let is_inside = |byte: &&u8| self.was_cut && (0x80..0xC0).contains(*byte);
        let begin = self.bytes.iter().take(3).take_while(is_inside).count();
        let mut text = String::from_utf8_lossy(&self.bytes[begin..]).replace('\0', "\u{FFFD}");
        let mut excess = text.len().saturating_sub(OUTPUT_BYTES_MAX);
        while !text.is_char_boundary(excess) {
            excess += 1;
        }
        text.split_off(excess)
    }
}

#[cfg(test)]
mod tests;
