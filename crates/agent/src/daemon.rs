//! Poll after poll, until told to end.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    config::Config,
    cycle::{Cycle, CycleError, Summary},
    disk::{Act, Disk},
    folders::Folders,
    http::{Http, HttpError},
    notify::Pulse,
    provision::provision,
};

/// Longest pause between polls while a server is away.
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// While it waits, how often it looks whether it is to end.
const TICK: Duration = Duration::from_millis(200);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("another agent works in {}; end it first, or give this one another stateDir", .0.display())]
    Taken(PathBuf),
    #[error("the state folder {}: {error}; give the agent one it may write to by stateDir", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Cycle(#[from] CycleError),
    #[error("signals cannot be caught: {0}")]
    Signals(io::Error),
}

/// An agent that has its state folder to itself.
pub struct Daemon {
    config: Config,
    folders: Folders,
    disk: Disk,
    http: Http,
    stop: Arc<AtomicBool>,
    pulse: Pulse,
    _lock: File,
}

impl Daemon {
    /// Takes the state folder.
    pub fn new(config: Config, disk: Disk) -> Result<Daemon, StartError> {
        let folder = std::path::absolute(&config.state_dir);
        let folder = folder.unwrap_or_else(|_| config.state_dir.clone());
        let folders = Folders::new(&folder);
        let failed = |error| StartError::Folder {
            folder: folder.clone(),
            error,
        };
        disk.create_dir_all_synced(&folder).map_err(failed)?;
        let act = Act::Create {
            path: folders.lock(),
        };
        let lock = disk.act(act, || {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(folders.lock())
        });
        let lock = lock.map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StartError::Taken(folder)),
            Err(error) => return Err(failed(error.into())),
        }
        for folder in [folders.releases(), folders.downloads(), folders.outbox()] {
            disk.create_dir_all_synced(&folder).map_err(failed)?;
        }
        // Releases may hold secrets only as far as their own modes let others see them.
        let http = Http::new(&config)?;
        Ok(Daemon {
            config,
            folders,
            disk,
            http,
            stop: Arc::default(),
            pulse: Pulse::new(),
            _lock: lock,
        })
    }

    /// Ends on SIGTERM and SIGINT: nothing new is begun, a download ends and goes on at the next
    /// start, a transaction is finished.
    pub fn end_on_signals(&self) -> Result<(), StartError> {
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, self.stop.clone()).map_err(StartError::Signals)?;
        }
        Ok(())
    }

    /// Set: the agent is to end.
    pub fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// One poll.
    pub fn once(&self) -> Result<Summary, StartError> {
        Ok(self.poll(&self.cycle())?)
    }

    /// Poll after poll.
    pub fn run(&self) -> Result<(), StartError> {
        let cycle = self.cycle();
        let mut summary = Summary::default();
        if let Err(error) = cycle.recover(&mut summary) {
            tracing::error!("{error}");
        }
        self.pulse.ready();
        tracing::info!(
            device = self.config.device,
            packages = self.config.packages.len(),
            poll_seconds = self.config.poll.as_secs(),
            state = %self.folders.root().display(),
            "keeps packages current"
        );
        let mut away = 0;
        while !self.is_to_end() {
            let is_away = match self.poll(&cycle) {
                Ok(summary) => {
                    say(&summary);
                    !summary.unreachable.is_empty()
                }
                // What is wrong may be put right while we run; nothing is begun until then.
                Err(error) => {
                    tracing::error!("{error}");
                    true
                }
            };
            away = if is_away { away + 1 } else { 0 };
            self.wait(pause(self.config.poll, away, fastrand::f64()));
        }
        self.pulse.stopping();
        tracing::info!("ends");
        Ok(())
    }

    /// One poll; what is installed is looked after without a token, too.
    fn poll(&self, cycle: &Cycle<'_>) -> Result<Summary, CycleError> {
        let claimed = provision(&self.config, &self.disk, &self.http);
        let mut summary = cycle.poll()?;
        if let Err(error) = claimed {
            summary.unreachable.insert(0, error.to_string());
        }
        Ok(summary)
    }

    fn cycle(&self) -> Cycle<'_> {
        Cycle::new(
            &self.config,
            &self.folders,
            &self.disk,
            &self.http,
            &self.stop,
            &self.pulse,
        )
    }

    fn is_to_end(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn wait(&self, pause: Duration) {
        let end = Instant::now() + pause;
        let retry = crate::cycle::retry_folder(&self.folders);
        while !self.is_to_end() && Instant::now() < end {
            thread::sleep(TICK);
            self.pulse.beat();
            // Somebody sits before the device and waits.
            if fs::read_dir(&retry).is_ok_and(|mut markers| markers.next().is_some()) {
                return;
            }
        }
    }
}

fn say(summary: &Summary) {
    for line in &summary.unreachable {
        tracing::warn!("{line}");
    }
    for line in &summary.waiting {
        tracing::info!("{line}");
    }
}

/// Until the next poll: a tenth more or less, so that a fleet does not ask at once; longer while a
/// server is away. `draw` is from 0 to 1.
fn pause(poll: Duration, away: u32, draw: f64) -> Duration {
    let doubled = poll.saturating_mul(1 << away.min(16).saturating_sub(1));
    let longest = AWAY_PAUSE_MAX.max(poll);
    doubled.min(longest).mul_f64(0.9 + 0.2 * draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_spread_and_rarer_while_the_server_is_away() {
        let minute = Duration::from_secs(60);
        assert_eq!(pause(minute, 0, 0.5), minute);
        assert_eq!(pause(minute, 0, 0.0), Duration::from_secs(54));
        assert_eq!(pause(minute, 0, 1.0), Duration::from_secs(66));
        assert_eq!(pause(minute, 1, 0.5), minute);
        assert_eq!(pause(minute, 3, 0.5), 4 * minute);
        assert_eq!(pause(minute, 40, 0.5), 15 * minute);
        let day = Duration::from_secs(86_400);
        assert_eq!(pause(day, 9, 0.5), day);
    }
}
