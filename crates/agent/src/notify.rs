//! systemd: that the agent runs, what it does, and that it lives.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

/// Tells systemd, if it asked. Work that goes on calls [`Pulse::beat`]; work that hangs does not, and
/// systemd starts the agent anew.
#[derive(Debug)]
pub struct Pulse {
    /// Between two signs of life; none are asked for without it.
    every: Option<Duration>,
    last: Cell<Option<Instant>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

impl Pulse {
    pub fn new() -> Pulse {
        Pulse {
            // Twice as often as it has to be would do.
            every: sd_notify::watchdog_enabled().map(|asked| asked / 3),
            last: Cell::new(None),
        }
    }

    /// The agent is at work.
    pub fn beat(&self) {
        let Some(every) = self.every else {
            return;
        };
        let now = Instant::now();
        if self.last.get().is_none_or(|last| now - last >= every) {
            self.last.set(Some(now));
            tell(&[NotifyState::Watchdog]);
        }
    }

    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// What `systemctl status` shows.
    pub fn status(&self, text: &str) {
        tell(&[NotifyState::Status(text)]);
        self.beat();
    }

    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd does not hear us");
    }
}
