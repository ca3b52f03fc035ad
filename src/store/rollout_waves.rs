use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::WaveCounts;

/// A wave of a rollout: which gateways are in it, and how they are.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutWave {
    /// Its gateways are those after the wave before up to here in the rollout's order.
    pub last_position: i64,
    pub counts: WaveCounts,
}

#[derive(sqlx::FromRow)]
struct WaveRow {
    percent: i32,
    last_position: i64,
    waiting: i64,
    active: i64,
    confirmed: i64,
    failed: i64,
    skipped: i64,
    cancelled: i64,
    tolerated: i64,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl From<WaveRow> for RolloutWave {
    fn from(row: WaveRow) -> RolloutWave {
        RolloutWave {
            last_position: row.last_position,
            counts: WaveCounts {
                percent: u8::try_from(row.percent).unwrap_or(u8::MAX),
                waiting: row.waiting,
                active: row.active,
                confirmed: row.confirmed,
                failed: row.failed,
                skipped: row.skipped,
                cancelled: row.cancelled,
                tolerated: row.tolerated,
                started_at: row.started_at,
                ended_at: row.ended_at,
            },
        }
    }
}

impl Tx {
    /// The waves of a rollout, the first one first; none before its gateways are enrolled.
    pub async fn rollout_waves(&mut self, rollout_id: Uuid) -> Result<Vec<RolloutWave>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, WaveRow>(
            "SELECT percent, last_position, waiting, active, confirmed, failed, skipped,
             cancelled, tolerated, started_at, ended_at
             FROM rollout_waves WHERE rollout_id = $1 ORDER BY wave",
        )
        .bind(rollout_id)
        .fetch_all(conn)
        .await)?;
        Ok(rows.into_iter().map(RolloutWave::from).collect())
    }

    /// Stores the waves of a rollout, new or changed.
    pub async fn put_rollout_waves(
        &mut self,
        rollout_id: Uuid,
        waves: &[RolloutWave],
    ) -> Result<()> {
        for (
            number,
            RolloutWave {
                last_position,
                counts,
            },
        ) in (1_i32..).zip(waves)
        {
            on!(self, |conn| {
                sqlx::query(
                "INSERT INTO rollout_waves (rollout_id, wave, percent, last_position, waiting,
                 active, confirmed, failed, skipped, cancelled, tolerated, started_at, ended_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                 ON CONFLICT (rollout_id, wave) DO UPDATE SET last_position = excluded.last_position,
                 waiting = excluded.waiting, active = excluded.active,
                 confirmed = excluded.confirmed, failed = excluded.failed,
                 skipped = excluded.skipped, cancelled = excluded.cancelled,
                 tolerated = excluded.tolerated, started_at = excluded.started_at,
                 ended_at = excluded.ended_at",
            )
            .bind(rollout_id)
            .bind(number)
            .bind(i32::from(counts.percent))
            .bind(last_position)
            .bind(counts.waiting)
            .bind(counts.active)
            .bind(counts.confirmed)
            .bind(counts.failed)
            .bind(counts.skipped)
            .bind(counts.cancelled)
            .bind(counts.tolerated)
            .bind(counts.started_at)
            .bind(counts.ended_at)
            .execute(conn)
            .await
            .map(drop)
            })?;
        }
        Ok(())
    }
}
