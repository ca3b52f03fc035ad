use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::{Result, Tx, gateway_query::Dialect};
use crate::domain::{KeptHeartbeat, Vitals};

/// Which heartbeats of a gateway.
#[derive(Clone, Debug)]
pub struct HeartbeatFilter {
    pub gateway_id: String,
    pub since: Option<DateTime<Utc>>,
    /// Not itself within.
    pub until: Option<DateTime<Utc>>,
    /// The newest so many.
    pub limit: i64,
}

#[derive(sqlx::FromRow)]
struct HeartbeatRow {
    gateway_id: String,
    at: i64,
    firmware_version: String,
    battery: Option<f32>,
    free_heap: Option<i64>,
    rssi: Option<f32>,
}

impl From<HeartbeatRow> for KeptHeartbeat {
    fn from(row: HeartbeatRow) -> KeptHeartbeat {
        KeptHeartbeat {
            gateway_id: row.gateway_id,
            at: DateTime::from_timestamp(row.at, 0).unwrap_or(DateTime::UNIX_EPOCH),
            firmware_version: row.firmware_version,
            vitals: Vitals {
                battery: row.battery,
                free_heap: row.free_heap,
                rssi: row.rssi,
            },
        }
    }
}

impl Tx {
    /// Keeps heartbeats of registered gateways; of each gateway and time the first stays.
    pub async fn put_heartbeats(&mut self, heartbeats: &[KeptHeartbeat]) -> Result<()> {
        execute_rows!(
            self,
            heartbeats,
            |heartbeat| {
                gateway_id: heartbeat.gateway_id.as_str(),
                at: heartbeat.at.timestamp(),
                firmware_version: heartbeat.firmware_version.as_str(),
                battery: heartbeat.vitals.battery,
                free_heap: heartbeat.vitals.free_heap,
                rssi: heartbeat.vitals.rssi,
            },
            "INSERT INTO heartbeats (gateway_id, at, firmware_version, battery, free_heap, rssi)
             SELECT gateway_id, at, firmware_version, battery, free_heap, rssi FROM v WHERE TRUE
             ON CONFLICT (gateway_id, at) DO NOTHING",
        );
        Ok(())
    }

    /// Oldest first.
    pub async fn heartbeats(&mut self, filter: &HeartbeatFilter) -> Result<Vec<KeptHeartbeat>> {
        let rows = on!(self, |conn| {
            let mut query = QueryBuilder::new(
                "SELECT gateway_id, at, firmware_version, battery, free_heap, rssi
                 FROM heartbeats WHERE gateway_id = ",
            );
            query.push_bind(&filter.gateway_id);
            if let Some(since) = filter.since {
                query.push(" AND at >= ").push_bind(since.timestamp());
            }
            if let Some(until) = filter.until {
                query.push(" AND at < ").push_bind(until.timestamp());
            }
            query
                .push(" ORDER BY at DESC LIMIT ")
                .push_bind(filter.limit);
            query.build_query_as::<HeartbeatRow>().fetch_all(conn).await
        })?;
        Ok(rows.into_iter().rev().map(KeptHeartbeat::from).collect())
    }

    /// Deletes heartbeats that are older than `before`, at most `limit`, and passes over those that
    /// another server deletes; how many.
    pub async fn delete_old_heartbeats(
        &mut self,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<usize> {
        let deleted = on!(self, |conn| {
            let mut delete = QueryBuilder::new(
                "DELETE FROM heartbeats WHERE (gateway_id, at) IN
                 (SELECT gateway_id, at FROM heartbeats WHERE at < ",
            );
            delete.push_bind(before.timestamp());
            delete.push(" ORDER BY at LIMIT ").push_bind(limit);
            Dialect::push_for_update_skip_locked(&mut delete);
            delete.push(")");
            delete
                .build()
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
    }
}
