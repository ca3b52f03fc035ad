//! Who gets into a rollout, chosen and written by the database.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{
    Result, Tx,
    gateway_query::{push_query, push_query_after},
};
use crate::domain::{GatewayQuery, ORDER_MODULUS};

/// Which gateways a rollout takes in.
#[derive(Clone, Debug)]
pub struct Enrolment {
    pub rollout_id: Uuid,
    pub wanted: Wanted,
    /// Whether some may be in already.
    pub again: bool,
    /// Of the order: a gateway's place is (a · shuffle + b) mod [`ORDER_MODULUS`].
    pub coefficients: (i64, i64),
    /// Who would have a place before it gets this one.
    pub from_position: i64,
    /// Who would have a place behind it does not get in.
    pub last_position: i64,
}

/// The gateways that are to get a version: those of the target that are eligible for it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub target: GatewayQuery,
    pub version: String,
    /// `version_key` of the version.
    pub version_key: String,
    /// `version_key` of the lowest version from which a way leads there.
    pub lowest_key: Option<String>,
    /// Whether gateways with a higher version get it.
    pub forced: bool,
}

/// How many gateways of a target are of this type and run this version.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct VersionCount {
    pub device_type: String,
    pub current_version: Option<String>,
    pub gateways: i64,
}

/// Appends the conditions of eligibility behind those of the target, as `domain::eligibility` has them.
macro_rules! push_wanted {
    ($query:expr, $wanted:expr) => {{
        $query.push(" AND (g.current_version IS NULL OR g.current_version <> ");
        $query.push_bind($wanted.version.as_str());
        $query.push(")");
        match &$wanted.lowest_key {
            Some(lowest_key) => {
                $query.push(" AND g.version_key >= ");
                $query.push_bind(lowest_key.as_str());
            }
            None => {}
        }
        if !$wanted.forced {
            $query.push(" AND (g.version_key IS NULL OR g.version_key <= ");
            $query.push_bind($wanted.version_key.as_str());
            $query.push(")");
        }
    }};
}

/// Appends the place of a gateway in the order.
macro_rules! push_position {
    ($query:expr, $coefficients:expr) => {{
        let (a, b) = $coefficients;
        $query.push("(COALESCE(g.shuffle, 0) * ");
        $query.push_bind(a);
        $query.push(" + ");
        $query.push_bind(b);
        $query.push(") % ");
        $query.push_bind(ORDER_MODULUS);
    }};
}

impl Tx {
    /// Takes in the next gateways by id; how many. Fewer than `limit` mean that it was the last
    /// batch.
    pub async fn enrol_gateways(
        &mut self,
        enrolment: &Enrolment,
        after: &str,
        limit: i64,
    ) -> Result<u64> {
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new(
                "INSERT INTO rollout_gateways (rollout_id, gateway_id, position, state) SELECT ",
            );
            query.push_bind(enrolment.rollout_id);
            query.push(", c.gateway_id, CASE WHEN c.position < ");
            query.push_bind(enrolment.from_position);
            query.push(" THEN ");
            query.push_bind(enrolment.from_position);
            query.push(" ELSE c.position END, 'waiting' FROM (SELECT g.gateway_id, ");
            push_position!(query, enrolment.coefficients);
            query.push(" AS position FROM gateways AS g WHERE TRUE");
            push_query_after(&mut query, &enrolment.wanted.target, after);
            push_wanted!(query, enrolment.wanted);
            if enrolment.again {
                query.push(
                    " AND NOT EXISTS (SELECT 1 FROM rollout_gateways AS m
                       WHERE m.gateway_id = g.gateway_id AND m.rollout_id = ",
                );
                query.push_bind(enrolment.rollout_id);
                query.push(")");
            }
            query.push(" AND ");
            push_position!(query, enrolment.coefficients);
            query.push(" <= ");
            query.push_bind(enrolment.last_position);
            query.push(" ORDER BY g.gateway_id LIMIT ");
            query.push_bind(limit);
            query.push(") AS c");
            query
                .build()
                .persistent(false)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?)
    }

    /// How many gateways a rollout would take in.
    pub async fn count_wanted(&mut self, wanted: &Wanted) -> Result<i64> {
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new("SELECT COUNT(*) FROM gateways AS g WHERE TRUE");
            push_query(&mut query, &wanted.target);
            push_wanted!(query, wanted);
            query
                .build_query_scalar::<i64>()
                .persistent(false)
                .fetch_one(conn)
                .await
        })?)
    }

    /// The place in the order of gateway number `rank` (from 1) of those a rollout would take in.
    pub async fn wanted_position(
        &mut self,
        wanted: &Wanted,
        coefficients: (i64, i64),
        rank: i64,
    ) -> Result<Option<i64>> {
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new("SELECT ");
            push_position!(query, coefficients);
            query.push(" AS position FROM gateways AS g WHERE TRUE");
            push_query(&mut query, &wanted.target);
            push_wanted!(query, wanted);
            query.push(" ORDER BY position LIMIT 1 OFFSET ");
            query.push_bind(rank - 1);
            query
                .build_query_scalar::<i64>()
                .persistent(false)
                .fetch_optional(conn)
                .await
        })?)
    }

    /// What the gateways of a target are and run.
    pub async fn count_versions(&mut self, target: &GatewayQuery) -> Result<Vec<VersionCount>> {
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new(
                "SELECT g.device_type, g.current_version, COUNT(*) AS gateways
                 FROM gateways AS g WHERE TRUE",
            );
            push_query(&mut query, target);
            query.push(" GROUP BY g.device_type, g.current_version");
            query
                .build_query_as::<VersionCount>()
                .persistent(false)
                .fetch_all(conn)
                .await
        })?)
    }
}
