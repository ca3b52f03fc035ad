//! Time → service: what happens without anybody asking. To add a job: a line in [`run`].

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::service::{Result, Service};

/// Longest wait between two looks into the outbox: commands that other servers queued, re-sends.
const DISPATCH_INTERVAL: Duration = Duration::from_millis(500);
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Runs every job until `shutdown`.
pub async fn run(service: Arc<Service>, shutdown: CancellationToken) {
    let jobs = async {
        tokio::join!(
            dispatch(&service),
            every(EXPIRE_INTERVAL, "expire tasks", async || {
                while service.expire_tasks().await? > 0 {}
                Ok(())
            }),
            every(SWEEP_INTERVAL, "sweep blobs", async || {
                let files = service.sweep_blobs().await?;
                if files > 0 {
                    tracing::info!(files, "abandoned files deleted");
                }
                Ok(())
            }),
        )
    };
    tokio::select! {
        _ = jobs => {}
        () = shutdown.cancelled() => {}
    }
}

async fn dispatch(service: &Service) {
    loop {
        match service.dispatch_commands().await {
            // A full batch: there may be more.
            Ok(sent) if sent > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, job = "dispatch commands", "job failed"),
        }
        let _ = timeout(DISPATCH_INTERVAL, service.command_queued()).await;
    }
}

async fn every(interval: Duration, job: &str, work: impl AsyncFn() -> Result<()>) {
    loop {
        if let Err(error) = work().await {
            tracing::warn!(%error, job, "job failed; it runs again");
        }
        sleep(interval).await;
    }
}
