use sqlx::types::Json;

use super::{Result, Tx};
use crate::domain::AuditEntry;

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
}
