use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{QueryBuilder, types::Json};

use super::{Result, Tx};
use crate::domain::AuditEntry;

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct AuditLine {
    /// Grows from line to line.
    pub audit_id: i64,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub actor_name: Option<String>,
    pub address: Option<String>,
    pub action: String,
    pub subject: String,
    #[sqlx(json)]
    pub detail: Value,
    pub created_at: DateTime<Utc>,
}

/// Which lines of the audit log to list, newest first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    pub action: Option<String>,
    pub subject: Option<String>,
    /// Its name, or its kind if it has none.
    pub actor: Option<String>,
    /// Written at or after.
    pub since: Option<DateTime<Utc>>,
    /// Written before.
    pub until: Option<DateTime<Utc>>,
    /// Only those with a lower number.
    pub before: i64,
    pub limit: i64,
}

impl Tx {
    /// Adds a line to the audit log; it is there if this transaction commits.
    pub async fn audit(&mut self, entry: &AuditEntry) -> Result<()> {
        self.audit_all(std::slice::from_ref(entry)).await
    }

    /// [`Tx::audit`] for many lines.
    pub async fn audit_all(&mut self, entries: &[AuditEntry]) -> Result<()> {
        execute_rows!(
            self,
            entries,
            |entry| {
                actor_kind: entry.caller.actor.kind(),
                actor_id: entry.caller.actor.id(),
                actor_name: entry.caller.actor.name(),
                address: entry.caller.address.map(|address| address.to_string()),
                action: entry.action,
                subject: entry.subject.as_str(),
                detail: Json(&entry.detail),
                created_at: entry.created_at,
            },
            "INSERT INTO audit (actor_kind, actor_id, actor_name, address, action, subject, detail, \
             created_at)
             SELECT actor_kind, actor_id, actor_name, address, action, subject, detail, created_at
             FROM v",
        );
        Ok(())
    }

    pub async fn audit_lines(&mut self, filter: &AuditFilter) -> Result<Vec<AuditLine>> {
        Ok(on!(self, |conn| {
            // Only what is asked for: no index serves a condition that may be none.
            let mut query = QueryBuilder::new(
                "SELECT audit_id, actor_kind, actor_id, actor_name, address, action, subject, detail, \
                 created_at FROM audit WHERE audit_id < ",
            );
            query.push_bind(filter.before);
            if let Some(action) = &filter.action {
                query.push(" AND action = ").push_bind(action);
            }
            if let Some(subject) = &filter.subject {
                query.push(" AND subject = ").push_bind(subject);
            }
            if let Some(actor) = &filter.actor {
                query.push(" AND (actor_name = ").push_bind(actor);
                query.push(" OR (actor_name IS NULL AND actor_kind = ");
                query.push_bind(actor).push("))");
            }
            if let Some(since) = filter.since {
                query.push(" AND created_at >= ").push_bind(since);
            }
            if let Some(until) = filter.until {
                query.push(" AND created_at < ").push_bind(until);
            }
            query.push(" ORDER BY audit_id DESC LIMIT ");
            query.push_bind(filter.limit);
            query.build_query_as::<AuditLine>().fetch_all(conn).await
        })?)
    }
}
