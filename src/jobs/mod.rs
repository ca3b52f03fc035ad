//! Time → service: what happens without anybody asking. To add a job: a line in [`run`].

mod announce;
mod deliver;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::service::{Result, Service};

/// Longest wait between two looks into the outbox: commands that other servers queued, re-sends.
const DISPATCH_INTERVAL: Duration = Duration::from_millis(500);
const RECOVER_INTERVAL: Duration = Duration::from_secs(2);
/// Age of a message in the inbox from which it counts as left behind.
const LEFT_BEHIND_AFTER: TimeDelta = TimeDelta::seconds(5);
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
const MARK_SILENT_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait between two looks at rollouts: other servers may have made or changed one.
const ROLLOUT_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks for new events, those of other servers among them.
const WATCH_EVENTS_INTERVAL: Duration = Duration::from_millis(250);
const FAN_OUT_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks whether there are credentials by now, while there are none.
const LOOK_FOR_CREDENTIALS_INTERVAL: Duration = Duration::from_millis(500);
const NOTE_TOKEN_USES_INTERVAL: Duration = Duration::from_secs(10);
const SWEEP_SESSIONS_INTERVAL: Duration = Duration::from_secs(300);
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// Runs every job until `shutdown`.
pub async fn run(service: Arc<Service>, shutdown: CancellationToken) {
    let jobs = async {
        tokio::join!(
            dispatch(&service),
            recover(&service),
            expire(&service),
            mark_silent(&service),
            watch_events(&service),
            fan_out(&service),
            deliver::deliver(&service),
            announce::deliver(&service),
            announce::releases(&service),
            announce::drop_old(&service),
            roll_out(&service),
            sweep(&service),
            forget(&service),
            look_for_credentials(&service),
            note_token_uses(&service),
            sweep_sessions(&service),
        )
    };
    tokio::select! {
        _ = jobs => {}
        () = shutdown.cancelled() => service.end_event_streams(),
    }
}

async fn dispatch(service: &Service) {
    loop {
        // Something was sent: there may be more.
        while let Some(1..) = report("dispatch commands", service.dispatch_commands().await) {}
        let _ = timeout(DISPATCH_INTERVAL, service.command_queued()).await;
    }
}

async fn recover(service: &Service) {
    while service.settings().built_in_broker {
        report(
            "recover inbox",
            service.recover_inbox(LEFT_BEHIND_AFTER).await,
        );
        sleep(RECOVER_INTERVAL).await;
    }
}

async fn expire(service: &Service) {
    loop {
        while let Some(1..) = report("expire tasks", service.expire_tasks().await) {}
        sleep(EXPIRE_INTERVAL).await;
    }
}

async fn mark_silent(service: &Service) {
    loop {
        while let Some(1..) = report("find silent gateways", service.mark_silent_gateways().await) {
        }
        sleep(MARK_SILENT_INTERVAL).await;
    }
}

async fn roll_out(service: &Service) {
    loop {
        while let Some(1..) = report("advance rollouts", service.advance_rollouts().await) {}
        let _ = timeout(ROLLOUT_INTERVAL, service.rollout_changed()).await;
    }
}

async fn watch_events(service: &Service) {
    loop {
        report("watch events", service.watch_events().await);
        sleep(WATCH_EVENTS_INTERVAL).await;
    }
}

async fn fan_out(service: &Service) {
    loop {
        while let Some(1..) = report("fan out events", service.fan_out_events().await) {}
        sleep(FAN_OUT_INTERVAL).await;
    }
}

async fn sweep(service: &Service) {
    loop {
        if let Some(files @ 1..) = report("sweep blobs", service.sweep_blobs().await) {
            tracing::info!(files, "abandoned files deleted");
        }
        report("sweep deliveries", service.sweep_deliveries().await);
        sleep(SWEEP_INTERVAL).await;
    }
}

async fn forget(service: &Service) {
    loop {
        report("delete history", service.delete_history().await);
        sleep(FORGET_INTERVAL).await;
    }
}

async fn look_for_credentials(service: &Service) {
    while !service.is_closed() {
        report("look for credentials", service.look_for_credentials().await);
        sleep(LOOK_FOR_CREDENTIALS_INTERVAL).await;
    }
}

async fn note_token_uses(service: &Service) {
    loop {
        report("note token uses", service.note_token_uses().await);
        sleep(NOTE_TOKEN_USES_INTERVAL).await;
    }
}

async fn sweep_sessions(service: &Service) {
    loop {
        report("sweep sessions", service.sweep_sessions().await);
        sleep(SWEEP_SESSIONS_INTERVAL).await;
    }
}

/// What a job did; a failure is logged, the job's next turn tries again.
fn report<T>(job: &str, result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, job, "job failed; it runs again"))
        .ok()
}
