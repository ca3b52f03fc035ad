use std::time::Duration;

use airlift_proto::error_code;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    package::PackageChange,
    report::{Heartbeat, Progress, Sent, sent},
    task_status::TaskStatus,
};

/// So far one server may be behind another that shares its broker: what a gateway said before
/// `completed` may be taken in so long after it.
const DISORDER: TimeDelta = TimeDelta::seconds(30);

/// A sign of life leaves the deadline where it is unless it moves it by this part of the wait: gateways report far more
/// often, and a deadline that moves is the dearest part of storing a report.
const DEADLINE_STEPS: i32 = 64;

/// One upgrade of one gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub task_id: Uuid,
    pub gateway_id: String,
    pub device_type: String,
    /// What the gateway ran before; unknown until it says so.
    pub from_version: Option<String>,
    pub to_version: String,
    pub firmware_url: String,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub file_size: i64,
    /// Names the task in commands and reports.
    pub msg_id: String,
    pub status: TaskStatus,
    /// Percent, 0 to 100; never falls.
    pub progress: i16,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub force_upgrade: bool,
    /// The command does not leave before.
    pub scheduled_at: Option<DateTime<Utc>>,
    pub start_time: DateTime<Utc>,
    /// When it ended, however it did.
    pub complete_time: Option<DateTime<Utc>>,
    /// When a heartbeat proved that the target version runs.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// From here on an active task fails with `TIMEOUT`, a completed one that no heartbeat has
    /// confirmed with `UNCONFIRMED`.
    pub deadline_at: Option<DateTime<Utc>>,
    /// Unix seconds by the gateway's clock, of its `completed`.
    pub completed_timestamp: Option<i64>,
    /// The rollout that made it.
    pub rollout_id: Option<Uuid>,
    /// How long it may wait, if not as the server's settings say; seconds.
    pub timeout_seconds: Option<i64>,
    /// The gateway is asked not to begin before.
    pub not_before: Option<DateTime<Utc>>,
    /// The versions it goes through, `to_version` first; empty if that is the last.
    pub path: Vec<String>,
    /// Of an update that a Linux device began on its own: what it does to each package; else empty.
    pub packages: Vec<PackageChange>,
    /// From `start_time` to `complete_time`.
    pub duration_ms: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// How long a task may wait.
#[derive(Clone, Copy, Debug)]
pub struct TaskDeadlines {
    /// For the gateway's first sign of life; it may be offline.
    pub pending: Duration,
    /// Between two reports of a running upgrade.
    pub silence: Duration,
    /// From `completed` to the heartbeat that proves it.
    pub confirm: Duration,
}

/// What an event did to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Unchanged,
    /// A sign of life: only the deadline moved.
    Alive,
    /// Status, progress or proof changed.
    Changed,
}

/// What a trigger for a gateway leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerDecision {
    /// No upgrade under way: make one.
    Create,
    /// The task under way leads to that version, if over others: return it.
    Return,
    /// Forced: cancel the task under way, make a new one.
    Replace,
    /// Another version is on its way.
    Conflict,
}

pub fn decide_trigger(under_way: Option<&Task>, to_version: &str, forced: bool) -> TriggerDecision {
    match under_way {
        None => TriggerDecision::Create,
        Some(task) if task.final_version() == to_version => TriggerDecision::Return,
        Some(_) if forced => TriggerDecision::Replace,
        Some(_) => TriggerDecision::Conflict,
    }
}

impl Task {
    /// Where its path ends.
    pub fn final_version(&self) -> &str {
        self.path.last().unwrap_or(&self.to_version)
    }

    /// Whether the gateway is on its way to the final version: the task is active, or the last
    /// step's proof is to make the next one.
    pub fn is_under_way(&self) -> bool {
        let waits_for_proof = self.status == TaskStatus::Completed && self.confirmed_at.is_none();
        self.status.is_active() || (waits_for_proof && self.final_version() != self.to_version)
    }

    /// A new task waits for the gateway's first sign of life.
    pub fn wait_for_answer(&mut self, deadlines: &TaskDeadlines) {
        self.wait(self.start_time, deadlines.pending);
    }

    /// The device is at it already, of its own accord: there is no command that it could answer.
    pub fn begin_on_its_own(
        &mut self,
        from_version: Option<String>,
        packages: Vec<PackageChange>,
        now: DateTime<Utc>,
        deadlines: &TaskDeadlines,
    ) {
        self.from_version = from_version;
        self.packages = packages;
        self.status = TaskStatus::Downloading;
        self.wait(now, deadlines.silence);
    }

    /// Whether the device began it of its own accord.
    pub fn is_its_own(&self) -> bool {
        !self.packages.is_empty()
    }

    /// A rollout to the same version takes the task for its own, with its patience.
    pub fn join_rollout(&mut self, rollout_id: Uuid, timeout_seconds: u32, now: DateTime<Utc>) {
        self.rollout_id = Some(rollout_id);
        self.timeout_seconds = Some(timeout_seconds.into());
        let timeout = Duration::from_secs(timeout_seconds.into());
        self.wait(now.max(self.start_time), timeout);
        self.updated_at = now;
    }

    /// Nothing can be expected of the gateway before `not_before`.
    fn wait(&mut self, since: DateTime<Utc>, default: Duration) {
        self.deadline_at = Some(self.end_of_wait(since, default));
    }

    /// The gateway is at it: its next word is awaited from now on, in steps of the deadline.
    fn wait_on(&mut self, now: DateTime<Utc>, silence: Duration) {
        let end = self.end_of_wait(now, silence);
        let step = (end - now) / DEADLINE_STEPS;
        let near = |deadline| deadline <= end && end - deadline < step;
        if !self.deadline_at.is_some_and(near) {
            self.deadline_at = Some(end);
        }
    }

    fn end_of_wait(&self, since: DateTime<Utc>, default: Duration) -> DateTime<Utc> {
        let own = self.timeout_seconds.and_then(|s| u64::try_from(s).ok());
        let since = self
            .not_before
            .map_or(since, |not_before| since.max(not_before));
        since + own.map_or(default, Duration::from_secs)
    }

    /// The gateway reports. Duplicate, late and reordered reports change nothing: progress never
    /// falls, an ended task stays ended.
    pub fn take_progress(
        &mut self,
        report: &Progress,
        now: DateTime<Utc>,
        deadlines: &TaskDeadlines,
    ) -> Outcome {
        if !self.status.is_active() {
            return Outcome::Unchanged;
        }
        if self.from_version.is_none() {
            self.from_version.clone_from(&report.current_version);
        }
        match report.status {
            TaskStatus::Completed => {
                self.completed_timestamp = report.timestamp;
                self.end(TaskStatus::Completed, now);
                self.progress = 100;
                self.wait(now, deadlines.confirm);
            }
            TaskStatus::Failed => {
                self.error_code = Some(
                    report
                        .error_code
                        .clone()
                        .unwrap_or_else(|| error_code::UNSPECIFIED.to_owned()),
                );
                self.error_message.clone_from(&report.error_message);
                self.end(TaskStatus::Failed, now);
            }
            status => {
                self.wait_on(now, deadlines.silence);
                let progress = self.progress.max(report.progress);
                let status = self.status.max(status);
                if (status, progress) == (self.status, self.progress) {
                    return Outcome::Alive;
                }
                self.status = status;
                self.progress = progress;
                self.updated_at = now;
            }
        }
        Outcome::Changed
    }

    /// The gateway's heartbeat: proof of the target version, or of its absence after `completed`.
    pub fn take_heartbeat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Outcome {
        let runs_target = heartbeat.firmware_version == self.to_version;
        match self.status {
            TaskStatus::Completed if self.confirmed_at.is_none() => {
                let late = heartbeat.late || (heartbeat.shared && self.ended_since(now) < DISORDER);
                let proven = match sent(heartbeat.timestamp, self.completed_timestamp, late) {
                    Sent::Before => return Outcome::Unchanged,
                    Sent::After => runs_target,
                    // It can't have run the target before the upgrade; the old version it can.
                    Sent::Together | Sent::Unknown
                        if runs_target && self.leaves_another_version() =>
                    {
                        true
                    }
                    Sent::Together | Sent::Unknown => return Outcome::Unchanged,
                };
                if proven {
                    self.confirmed_at = Some(now);
                    self.deadline_at = None;
                    self.updated_at = now;
                } else {
                    self.error_code = Some(error_code::ROLLED_BACK.to_owned());
                    self.error_message = Some(format!(
                        "the gateway reported completed, then came back with version {}",
                        heartbeat.firmware_version
                    ));
                    self.end(TaskStatus::Failed, now);
                }
                Outcome::Changed
            }
            // Its `completed` was lost on the way, but it runs what it did not run before:
            // the proof stands without the word.
            TaskStatus::Downloading | TaskStatus::Verifying | TaskStatus::Installing
                if runs_target && self.leaves_another_version() =>
            {
                self.end(TaskStatus::Completed, now);
                self.progress = 100;
                self.confirmed_at = Some(now);
                Outcome::Changed
            }
            TaskStatus::Pending if self.from_version.is_none() && !runs_target => {
                self.from_version = Some(heartbeat.firmware_version.clone());
                self.updated_at = now;
                Outcome::Changed
            }
            _ => Outcome::Unchanged,
        }
    }

    fn ended_since(&self, now: DateTime<Utc>) -> TimeDelta {
        self.complete_time.map_or(TimeDelta::MAX, |at| now - at)
    }

    fn leaves_another_version(&self) -> bool {
        self.from_version
            .as_ref()
            .is_some_and(|from| *from != self.to_version)
    }

    /// Fails a task whose deadline has passed.
    pub fn expire(&mut self, now: DateTime<Utc>) -> Outcome {
        let expired = self.deadline_at.is_some_and(|deadline| deadline <= now);
        if !expired {
            return Outcome::Unchanged;
        }
        let (code, message) = match self.status {
            TaskStatus::Pending => (
                error_code::TIMEOUT,
                "the gateway never answered the command".to_owned(),
            ),
            TaskStatus::Completed => (
                error_code::UNCONFIRMED,
                format!(
                    "the gateway reported completed, but no heartbeat with version {} came \
                     after it",
                    self.to_version
                ),
            ),
            status => (
                error_code::TIMEOUT,
                format!("the gateway fell silent while {status}"),
            ),
        };
        self.error_code = Some(code.to_owned());
        self.error_message = Some(message);
        self.end(TaskStatus::Failed, now);
        Outcome::Changed
    }

    /// Ends an active task by hand; `Unchanged` if it has ended.
    pub fn cancel(&mut self, now: DateTime<Utc>) -> Outcome {
        if !self.status.is_active() {
            return Outcome::Unchanged;
        }
        self.end(TaskStatus::Cancelled, now);
        Outcome::Changed
    }

    fn end(&mut self, status: TaskStatus, now: DateTime<Utc>) {
        self.status = status;
        self.complete_time.get_or_insert(now);
        self.duration_ms
            .get_or_insert((now - self.start_time).num_milliseconds().max(0));
        self.deadline_at = None;
        self.updated_at = now;
    }
}

#[cfg(test)]
mod tests;
