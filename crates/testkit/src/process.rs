//! Any program as a child: `airlift serve`, `airlift-gateway`, and the servers of this crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::kept_logs::kept_log;
use crate::launch::{launch, pid_path, read_log};
use crate::scratch::Scratch;
use crate::tree;

const POLL: Duration = Duration::from_millis(10);

/// How much of the log a failure message shows, bytes.
const TAIL_SIZE_MAX: usize = 4096;

/// A child process whose output goes to a log file in its [`Scratch`] folder.
///
/// It runs in that folder. It does not inherit `AIRLIFT_*`, `AWS_*` and proxy variables: what a
/// developer has set must not change a test. Dropping it kills it, in a panic with its last words.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    child: Child,
    ended: Option<ExitStatus>,
    /// Where in the log the present start begins, bytes.
    log_start: usize,
    scratch: Arc<Scratch>,
}

impl Process {
    /// Starts `program` in a new folder; `name` is for messages and file names.
    ///
    /// # Errors
    /// When it cannot be started. A name not in `PATH` ends with code 127, which a wait reports.
    pub fn spawn(
        program: impl AsRef<Path>,
        args: &[impl AsRef<str>],
        env: &[(&str, String)],
        name: &str,
    ) -> Result<Self> {
        Self::spawn_in(Arc::new(Scratch::new(name)?), program, args, env, name)
    }

    /// The same in a folder that lives longer than the process.
    ///
    /// # Errors
    /// As there.
    pub fn spawn_in(
        scratch: Arc<Scratch>,
        program: impl AsRef<Path>,
        args: &[impl AsRef<str>],
        env: &[(&str, String)],
        name: &str,
    ) -> Result<Self> {
        let mut program = program.as_ref().to_path_buf();
        if program.components().count() > 1 {
            program = program
                .canonicalize()
                .with_context(|| format!("finding the program {}", program.display()))?;
        }
        let args: Vec<String> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        let env: Vec<(String, String)> = env
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        let child = launch(&scratch, name, &program, &args, &env)?;
        Ok(Self {
            name: name.to_owned(),
            program,
            args,
            env,
            child,
            ended: None,
            log_start: 0,
            scratch,
        })
    }

    /// Starts the same command again after it has ended; the log goes on where it was.
    ///
    /// # Errors
    /// When it still runs or cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        if self.is_running()? {
            bail!(
                "{} still runs: kill or terminate it before starting it again",
                self.name
            );
        }
        self.log_start = read_log(&self.scratch, &self.name).len();
        self.child = launch(
            &self.scratch,
            &self.name,
            &self.program,
            &self.args,
            &self.env,
        )?;
        self.ended = None;
        Ok(())
    }

    /// The process id, also after the end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// # Errors
    /// When the system cannot say.
    pub fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_none()
            && let Some(status) = self
                .child
                .try_wait()
                .with_context(|| format!("asking after {}", self.name))?
        {
            self.note_end(status);
        }
        Ok(self.ended.is_none())
    }

    /// SIGKILL to the process and everything below it; returns when they are gone.
    ///
    /// # Errors
    /// When it had already ended by itself: a test that kills something dead proves nothing.
    pub fn kill9(&mut self) -> Result<()> {
        if !self.is_running()? {
            bail!(
                "{} should have been killed but {}",
                self.name,
                self.describe_end()
            );
        }
        self.kill_quietly();
        Ok(())
    }

    /// SIGTERM, then waits up to `limit` for the end and gives its exit status.
    ///
    /// # Errors
    /// When it had already ended, or does not end in time (then it is killed).
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.stop(Signal::TERM, limit)
    }

    pub(crate) fn stop(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        if !self.is_running()? {
            bail!(
                "{} should have been stopped but {}",
                self.name,
                self.describe_end()
            );
        }
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("signalling {}", self.name))?;
        self.wait(limit)
    }

    /// Waits up to `limit` for the program to end by itself.
    ///
    /// # Errors
    /// When it does not (then it is killed).
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        while self.is_running()? {
            if start.elapsed() >= limit {
                self.kill_quietly();
                bail!(
                    "{} did not end within {limit:?} and was killed; its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(POLL);
        }
        self.ended
            .with_context(|| format!("{} has ended without a status", self.name))
    }

    /// Waits for a complete line of output since the present start that contains `part`; gives it.
    ///
    /// # Errors
    /// When the process ends first or `limit` passes.
    pub fn wait_for_line(&mut self, part: &str, limit: Duration) -> Result<String> {
        let mut found = None;
        let (scratch, name, start) = (Arc::clone(&self.scratch), self.name.clone(), self.log_start);
        self.wait_until(&format!("printing a line with {part:?}"), limit, || {
            let bytes = read_log(&scratch, &name);
            let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default());
            found = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .find(|line| line.contains(part))
                .map(|line| line.trim_end().to_owned());
            found.is_some()
        })?;
        found.with_context(|| format!("{} printed no line with {part:?}", self.name))
    }

    /// Waits until `probe` says yes; `what` completes "was not seen …".
    ///
    /// # Errors
    /// When the process ends first or `limit` passes; the end of the log is in the message.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            // In this order: what a process did right before its end still counts.
            let running = self.is_running()?;
            if probe() {
                return Ok(());
            }
            if !running {
                bail!(
                    "{} was not seen {what}: it {}",
                    self.name,
                    self.describe_end()
                );
            }
            if start.elapsed() >= limit {
                bail!(
                    "{} was not seen {what} within {limit:?}; its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Everything it has printed, stdout and stderr together, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&read_log(&self.scratch, &self.name)).into_owned()
    }

    fn log_tail(&self) -> String {
        let bytes = read_log(&self.scratch, &self.name);
        let from = bytes.len().saturating_sub(TAIL_SIZE_MAX);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    fn describe_end(&self) -> String {
        let status = self
            .ended
            .map_or_else(|| "status unknown".to_owned(), |status| status.to_string());
        format!("has ended ({status}); its log ends:\n{}", self.log_tail())
    }

    fn kill_quietly(&mut self) {
        let pid = Pid::from_child(&self.child);
        tree::kill_hard(pid);
        // Members of the group whose parent had left them, which the tree does not show.
        let _ = kill_process_group(pid, Signal::KILL);
        if let Ok(status) = self.child.wait() {
            self.note_end(status);
        }
    }

    fn note_end(&mut self, status: ExitStatus) {
        self.ended = Some(status);
        // The number may be given to another process from now on: the guard must forget it.
        let _ = fs::remove_file(pid_path(&self.scratch, &self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "--- the log of {} ends:\n{}\n---",
                self.name,
                self.log_tail()
            );
        }
        if matches!(self.is_running(), Ok(true)) {
            self.kill_quietly();
        }
        // Other programs may log what they like.
        let is_ours = self
            .program
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("airlift"));
        if is_ours && let Some(path) = kept_log(&self.name) {
            let _ = fs::write(path, read_log(&self.scratch, &self.name));
        }
    }
}
