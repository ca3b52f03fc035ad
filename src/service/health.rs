use std::time::{Duration, Instant};

use super::Service;
use crate::{
    domain::{RolloutState, TaskStatus},
    metrics::{StateLabel, StatusLabel},
    store::{Connections, Tx},
};

/// Age from which the counts of tasks and rollouts are taken anew: however many ask for the metrics,
/// the database counts no more often.
const COUNTS_AGE_MAX: Duration = Duration::from_secs(5);
/// The word for completed upgrades that wait for their proof.
const UNPROVEN: &str = "unproven";

/// Whether each part that the server stands on answers; an error in words where not.
#[derive(Clone, Debug)]
pub struct Health {
    pub database: Result<(), String>,
    pub broker: Result<(), String>,
    pub blobs: Result<(), String>,
}

impl Service {
    pub async fn health(&self) -> Health {
        let (database, blobs) = tokio::join!(self.db.ping(), self.blobs.ping());
        Health {
            database: database.map_err(|error| error.to_string()),
            broker: match self.publisher.is_connected() {
                true => Ok(()),
                false => Err("not connected".to_owned()),
            },
            blobs: blobs.map_err(|error| error.to_string()),
        }
    }

    /// Brings the gauges up to date. Those that mirror the database keep their values while it is away.
    pub async fn refresh_gauges(&self) -> super::Result<()> {
        self.metrics
            .broker_connected
            .set(i64::from(self.publisher.is_connected()));
        let Connections { busy, idle, max } = self.db.connections();
        self.metrics.database_connections_max.set(max.into());
        for (state, connections) in [("busy", busy), ("idle", idle)] {
            self.metrics
                .database_connections
                .get_or_create(&StateLabel { state })
                .set(connections.into());
        }
        let refreshed = self.refresh_from_database().await;
        let answers = i64::from(refreshed.is_ok());
        self.metrics.database_connected.set(answers);
        refreshed
    }

    async fn refresh_from_database(&self) -> super::Result<()> {
        let mut tx = self.db.read().await?;
        let (gateways, online) = tx.count_gateways().await?;
        self.metrics.gateways.set(gateways);
        self.metrics.gateways_online.set(online);
        self.metrics
            .commands_waiting
            .set(tx.count_commands().await?);
        self.metrics
            .announcements
            .waiting
            .set(tx.count_announcements().await?);
        if self.counts_are_old() {
            let counted_at = Instant::now();
            self.refresh_counts(&mut tx).await?;
            self.counted_at.send_replace(Some(counted_at));
        }
        Ok(())
    }

    fn counts_are_old(&self) -> bool {
        self.counted_at
            .borrow()
            .is_none_or(|at| at.elapsed() >= COUNTS_AGE_MAX)
    }

    async fn refresh_counts(&self, tx: &mut Tx) -> super::Result<()> {
        let counted = |word: &str, counts: &[(String, i64)]| {
            let found = counts.iter().find(|(counted, _)| counted == word);
            found.map_or(0, |(_, count)| *count)
        };
        let tasks = tx.count_open_tasks().await?;
        let open = TaskStatus::ALL.into_iter().filter(|it| it.is_active());
        for status in open.chain([TaskStatus::Completed]) {
            let label = match status {
                TaskStatus::Completed => UNPROVEN,
                active => active.as_str(),
            };
            self.metrics
                .tasks
                .get_or_create(&StatusLabel { status: label })
                .set(counted(status.as_str(), &tasks));
        }
        let rollouts = tx.count_rollouts().await?;
        for state in RolloutState::ALL {
            let state = state.as_str();
            self.metrics
                .rollouts
                .get_or_create(&StateLabel { state })
                .set(counted(state, &rollouts));
        }
        Ok(())
    }
}
