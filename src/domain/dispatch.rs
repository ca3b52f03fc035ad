use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Wait before a command is sent the second time.
pub const RESEND_DELAY_MIN: Duration = Duration::from_secs(5);
/// Longest wait between two sends of a command.
pub const RESEND_DELAY_MAX: Duration = Duration::from_secs(60);
/// Times an `ota_cancel` is sent: no gateway answers it, so it can't be waited for.
pub const CANCEL_SENDS_MAX: i32 = 3;

/// Which command waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// `ota_upgrade`: sent until the gateway shows life on the task.
    Upgrade,
    /// `ota_cancel`: sent [`CANCEL_SENDS_MAX`] times.
    Cancel,
}

impl CommandKind {
    pub fn as_str(self) -> &'static str {
        match self {
            CommandKind::Upgrade => "ota_upgrade",
            CommandKind::Cancel => "ota_cancel",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [CommandKind::Upgrade, CommandKind::Cancel]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// A command in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundCommand {
    pub command_id: Uuid,
    pub task_id: Uuid,
    pub gateway_id: String,
    pub kind: CommandKind,
    /// The JSON to publish.
    pub payload: String,
    /// How often it was claimed for sending.
    pub sends: i32,
    /// When it is due.
    pub next_send_at: DateTime<Utc>,
}

impl OutboundCommand {
    /// Counts a send at `now`, and says when the next is due if nobody answers; `jitter` as for
    /// [`resend_delay`].
    pub fn claim(&mut self, now: DateTime<Utc>, jitter: f64) {
        self.sends = self.sends.saturating_add(1);
        self.next_send_at = now + resend_delay(self.sends, jitter);
    }
}

/// How long to wait after send number `sends` (1 = the first): doubling from
/// [`RESEND_DELAY_MIN`] to [`RESEND_DELAY_MAX`], less up to a quarter by `jitter` (0 to 1), so
/// that a fleet that fell silent together is not called together.
pub fn resend_delay(sends: i32, jitter: f64) -> Duration {
    let doublings = u32::try_from(sends.saturating_sub(1)).unwrap_or(0).min(16);
    let delay = RESEND_DELAY_MIN
        .saturating_mul(1 << doublings)
        .min(RESEND_DELAY_MAX);
    delay.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
}

/// How long the broker keeps send number `sends` for a gateway that is offline. Of an upgrade until
/// the next copy takes its place; of a cancel longer than of any upgrade sent before it, so that who
/// comes back to the upgrade finds the cancel behind it.
pub fn copy_lifetime(kind: CommandKind, sends: i32) -> Duration {
    let upgrade = |sends| resend_delay(sends, 0.0) + Duration::from_secs(1);
    match kind {
        CommandKind::Upgrade => upgrade(sends),
        CommandKind::Cancel => upgrade(i32::MAX) + Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_is_capped() {
        let waits: Vec<u64> = (1..=9).map(|n| resend_delay(n, 0.0).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        assert_eq!(resend_delay(i32::MAX, 0.0), RESEND_DELAY_MAX);
        assert_eq!(resend_delay(1, 1.0), RESEND_DELAY_MIN.mul_f64(0.75));
    }

    #[test]
    fn a_cancel_outlives_each_upgrade_that_was_sent_before_it() {
        for upgrade in 1..=9 {
            for cancel in 1..=CANCEL_SENDS_MAX {
                let upgrade = copy_lifetime(CommandKind::Upgrade, upgrade);
                assert!(copy_lifetime(CommandKind::Cancel, cancel) > upgrade);
            }
        }
    }
}
