use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{QueryBuilder, types::Json};

use super::{
    Result, Tx,
    gateway_query::{Dialect, push_query, push_query_after},
};
use crate::domain::{Event, Gateway, GatewayQuery, REGISTERED, Tags, shuffle, version_key};

macro_rules! columns {
    () => {
        "gateway_id, device_type, current_version, online, last_seen_at, attributes, tags, \
         heartbeat_timestamp, offline_at, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct GatewayRow {
    gateway_id: String,
    device_type: String,
    current_version: Option<String>,
    online: bool,
    last_seen_at: Option<DateTime<Utc>>,
    attributes: Json<Value>,
    tags: Json<Tags>,
    heartbeat_timestamp: Option<i64>,
    offline_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<GatewayRow> for Gateway {
    fn from(row: GatewayRow) -> Gateway {
        Gateway {
            gateway_id: row.gateway_id,
            device_type: row.device_type,
            current_version: row.current_version,
            online: row.online,
            last_seen_at: row.last_seen_at,
            attributes: row.attributes.0,
            tags: row.tags.0,
            heartbeat_timestamp: row.heartbeat_timestamp,
            offline_at: row.offline_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which gateways to list, by id.
#[derive(Clone, Debug)]
pub struct GatewayFilter {
    pub query: GatewayQuery,
    /// Only those whose id is greater.
    pub after: String,
    /// So many of those are passed over.
    pub skip: i64,
    pub limit: i64,
}

/// Gateways of a device type that run the same version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct GatewayCount {
    pub device_type: String,
    /// `None`: they never said.
    pub current_version: Option<String>,
    pub total: i64,
    pub online: i64,
}

impl Tx {
    pub async fn gateway(&mut self, gateway_id: &str) -> Result<Option<Gateway>> {
        let row = on!(self, |conn| sqlx::query_as::<_, GatewayRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM gateways WHERE gateway_id = $1"
        ))
        .bind(gateway_id)
        .fetch_optional(conn)
        .await)?;
        Ok(row.map(Gateway::from))
    }

    /// The gateway with its row locked until the transaction ends; registered from `unknown` if
    /// nobody has heard of it, of which an event tells. Whoever changes a gateway's tasks locks the gateway first.
    pub async fn lock_gateway(&mut self, unknown: &Gateway) -> Result<Gateway> {
        let (mut gateways, registered) = self.lock_gateways(std::slice::from_ref(unknown)).await?;
        if !registered.is_empty() {
            let registered = Event::gateway(unknown, &[REGISTERED], unknown.created_at);
            self.record(registered);
        }
        Ok(gateways.pop().ok_or(sqlx::Error::RowNotFound)?)
    }

    /// The gateways with these ids, which must be registered and rise, locked until the transaction
    /// ends.
    pub async fn lock_known_gateways(&mut self, ids: &[&str]) -> Result<Vec<Gateway>> {
        let rows = fetch_rows!(
            GatewayRow,
            self,
            ids,
            |id| { gateway_id: *id },
            [
                "SELECT ",
                columns!(),
                " FROM gateways WHERE gateway_id IN (SELECT gateway_id FROM v) ORDER BY gateway_id"
            ],
            "FOR UPDATE",
        );
        Ok(rows.into_iter().map(Gateway::from).collect())
    }

    /// Which of these ids are nobody's.
    pub async fn unknown_gateways(&mut self, ids: &BTreeSet<String>) -> Result<Vec<String>> {
        let known = on!(self, |conn| {
            let mut query = QueryBuilder::new("SELECT gateway_id FROM gateways WHERE ");
            Dialect::push_one_of(&mut query, "gateway_id", ids);
            query.build_query_scalar::<String>().fetch_all(conn).await
        })?;
        let known: BTreeSet<String> = known.into_iter().collect();
        Ok(ids.difference(&known).cloned().collect())
    }

    /// Like [`Tx::lock_gateway`] for many, whose ids must rise. Gives those that were registered
    /// just now besides; to tell of them is the caller's.
    pub async fn lock_gateways(
        &mut self,
        unknown: &[Gateway],
    ) -> Result<(Vec<Gateway>, BTreeSet<String>)> {
        let registered: Vec<(String,)> = fetch_rows!(
            (String,),
            self,
            unknown,
            |gateway| {
                gateway_id: gateway.gateway_id.as_str(),
                device_type: gateway.device_type.as_str(),
                current_version: gateway.current_version.as_deref(),
                online: gateway.online,
                last_seen_at: gateway.last_seen_at,
                attributes: Json(&gateway.attributes),
                tags: Json(Tags::new()),
                heartbeat_timestamp: gateway.heartbeat_timestamp,
                offline_at: gateway.offline_at,
                created_at: gateway.created_at,
                updated_at: gateway.updated_at,
                version_key: gateway.version_key(),
                shuffle: shuffle(&gateway.gateway_id),
            },
            [
                "INSERT INTO gateways (",
                columns!(),
                ", version_key, shuffle) SELECT ",
                columns!(),
                ", version_key, shuffle FROM v WHERE TRUE
                 ON CONFLICT (gateway_id) DO NOTHING RETURNING gateway_id"
            ],
        );
        let ids: Vec<&str> = unknown.iter().map(|it| it.gateway_id.as_str()).collect();
        let gateways = self.lock_known_gateways(&ids).await?;
        Ok((gateways, registered.into_iter().map(|(id,)| id).collect()))
    }

    /// Forgets gateways that were registered in this transaction.
    pub async fn delete_gateways(&mut self, ids: &[&str]) -> Result<()> {
        execute_rows!(
            self,
            ids,
            |id| { gateway_id: *id },
            "DELETE FROM gateways WHERE gateway_id IN (SELECT gateway_id FROM v)",
        );
        Ok(())
    }

    /// Stores what gateways say of themselves; their tags stay.
    pub async fn update_gateways(&mut self, gateways: &[&Gateway]) -> Result<()> {
        execute_rows!(
            self,
            gateways,
            |gateway| {
                gateway_id: gateway.gateway_id.as_str(),
                device_type: gateway.device_type.as_str(),
                current_version: gateway.current_version.as_deref(),
                online: gateway.online,
                last_seen_at: gateway.last_seen_at,
                attributes: Json(&gateway.attributes),
                heartbeat_timestamp: gateway.heartbeat_timestamp,
                offline_at: gateway.offline_at,
                updated_at: gateway.updated_at,
                version_key: gateway.version_key(),
            },
            "UPDATE gateways SET device_type = v.device_type, current_version = v.current_version,
             online = v.online, last_seen_at = v.last_seen_at, attributes = v.attributes,
             heartbeat_timestamp = v.heartbeat_timestamp, offline_at = v.offline_at,
             updated_at = v.updated_at, version_key = v.version_key
             FROM v WHERE gateways.gateway_id = v.gateway_id",
        );
        Ok(())
    }

    /// Gateways that should have reported over HTTP by now, locked; those that another server holds
    /// are passed over.
    pub async fn lock_silent_gateways(
        &mut self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Gateway>> {
        let rows = on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM gateways WHERE online AND offline_at <= $1 ORDER BY offline_at LIMIT $2"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, GatewayRow>(sql)
                .bind(now)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?;
        Ok(rows.into_iter().map(Gateway::from).collect())
    }

    pub async fn gateways(&mut self, filter: &GatewayFilter) -> Result<Vec<Gateway>> {
        let rows = on!(self, |conn| {
            let mut query = QueryBuilder::new(concat!(
                "SELECT ",
                columns!(),
                " FROM gateways AS g WHERE TRUE"
            ));
            if filter.skip > 0 {
                // By their ids alone, which an index has: whole rows are read of the page only.
                query.push(
                    " AND g.gateway_id IN (SELECT g.gateway_id FROM gateways AS g WHERE TRUE",
                );
            }
            push_query_after(&mut query, &filter.query, &filter.after);
            query.push(" ORDER BY g.gateway_id LIMIT ");
            query.push_bind(filter.limit);
            if filter.skip > 0 {
                query.push(" OFFSET ");
                query.push_bind(filter.skip);
                query.push(") ORDER BY g.gateway_id");
            }
            query
                .build_query_as::<GatewayRow>()
                // A plan for these values: one for any is far from the best for most.
                .persistent(false)
                .fetch_all(conn)
                .await
        })?;
        Ok(rows.into_iter().map(Gateway::from).collect())
    }

    /// How many gateways the query means, exactly.
    pub async fn count_gateways_of(&mut self, query: &GatewayQuery) -> Result<i64> {
        Ok(on!(self, |conn| {
            let mut count = QueryBuilder::new("SELECT COUNT(*) FROM gateways AS g WHERE TRUE");
            push_query(&mut count, query);
            count
                .build_query_scalar::<i64>()
                .persistent(false)
                .fetch_one(conn)
                .await
        })?)
    }

    /// How many of the query's gateways run which version.
    pub async fn gateway_counts(&mut self, query: &GatewayQuery) -> Result<Vec<GatewayCount>> {
        Ok(on!(self, |conn| {
            let mut counts = QueryBuilder::new(
                "SELECT g.device_type, g.current_version, COUNT(*) AS total,
                     COUNT(CASE WHEN g.online THEN 1 END) AS online
                 FROM gateways AS g WHERE TRUE",
            );
            push_query(&mut counts, query);
            counts.push(" GROUP BY g.device_type, g.current_version");
            counts
                .build_query_as::<GatewayCount>()
                .persistent(false)
                .fetch_all(conn)
                .await
        })?)
    }

    /// How many gateways are registered and how many of them are online.
    pub async fn count_gateways(&mut self) -> Result<(i64, i64)> {
        Ok(on!(self, |conn| sqlx::query_as::<_, (i64, i64)>(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN online THEN 1 ELSE 0 END), 0) FROM gateways",
        )
        .fetch_one(conn)
        .await)?)
    }

    /// Gives rows that an older version has written what this one keeps besides, at most `limit`
    /// at once; returns how many there were.
    pub(super) async fn fill_older_gateways(&mut self, limit: usize) -> Result<usize> {
        let rows = on_locked!(
            self,
            [
                "SELECT gateway_id, current_version FROM gateways WHERE shuffle IS NULL
              ORDER BY gateway_id LIMIT $1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, (String, Option<String>)>(sql)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(conn)
                .await
        )?;
        if rows.is_empty() {
            return Ok(0);
        }
        on!(self, |conn| {
            let mut update = QueryBuilder::new(
                "UPDATE gateways SET version_key = v.column2, shuffle = v.column3 FROM (",
            );
            update.push_values(&rows, |mut row, (gateway_id, version)| {
                row.push_bind(gateway_id.as_str())
                    .push_bind(version.as_deref().and_then(version_key))
                    .push_bind(shuffle(gateway_id));
            });
            update.push(") AS v WHERE gateways.gateway_id = v.column1");
            update
                .build()
                .persistent(false)
                .execute(conn)
                .await
                .map(drop)
        })?;
        Ok(rows.len())
    }
}
