use sqlx::{QueryBuilder, types::Json};

use super::{Result, Tx};
use crate::domain::AuditEntry;

/// Rows per statement; SQLite takes 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 1000;

impl Tx {
    /// Adds a line to the audit log; it is there if this transaction commits.
    pub async fn audit(&mut self, entry: &AuditEntry) -> Result<()> {
        let actor = &entry.caller.actor;
        on!(self, |conn| {
            sqlx::query(
            "INSERT INTO audit (actor_kind, actor_id, actor_name, address, action, subject, detail, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(actor.kind())
        .bind(actor.id())
        .bind(actor.name())
        .bind(entry.caller.address.map(|address| address.to_string()))
        .bind(entry.action)
        .bind(&entry.subject)
        .bind(Json(&entry.detail))
        .bind(entry.created_at)
        .execute(conn)
        .await
        .map(drop)
        })?;
        Ok(())
    }

    /// [`Tx::audit`] for many lines.
    pub async fn audit_all(&mut self, entries: &[AuditEntry]) -> Result<()> {
        for entries in entries.chunks(ROWS_PER_STATEMENT) {
            on!(self, |conn| {
                let mut query = QueryBuilder::new(
                    "INSERT INTO audit (actor_kind, actor_id, actor_name, address, action, \
                     subject, detail, created_at) ",
                );
                query.push_values(entries, |mut row, entry| {
                    let actor = &entry.caller.actor;
                    row.push_bind(actor.kind())
                        .push_bind(actor.id())
                        .push_bind(actor.name())
                        .push_bind(entry.caller.address.map(|address| address.to_string()))
                        .push_bind(entry.action)
                        .push_bind(&entry.subject)
                        .push_bind(Json(&entry.detail))
                        .push_bind(entry.created_at);
                });
                query
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
        Ok(())
    }
}
