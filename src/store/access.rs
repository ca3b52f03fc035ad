//! What tells who somebody is. The rows behind it have their own files.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Actor, Role};

/// A row of `tokens` or `users` that a credential leads to.
#[derive(sqlx::FromRow)]
struct ActorRow {
    id: Uuid,
    name: String,
    role: String,
}

impl ActorRow {
    fn role(&self, table: &'static str) -> Result<Role> {
        Role::parse(&self.role).ok_or_else(|| Error::BadRow {
            table,
            column: "role",
            row: self.id.to_string(),
            value: self.role.clone(),
        })
    }
}

impl Tx {
    /// Whether there has ever been a credential.
    pub async fn is_closed(&mut self) -> Result<bool> {
        let closed = on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM access"
        )
        .fetch_one(conn)
        .await)?;
        Ok(closed > 0)
    }

    /// From now on every door asks for a credential. Belongs into each transaction that makes one.
    pub async fn close_doors(&mut self, now: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO access (only_row, closed_at) VALUES (TRUE, $1) ON CONFLICT DO NOTHING",
        )
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Whose bearer token has this hash, if it is good now.
    pub async fn actor_by_token(
        &mut self,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Actor>> {
        let row = on!(self, |conn| sqlx::query_as::<_, ActorRow>(
            "SELECT token_id AS id, name, role FROM tokens WHERE hash = $1
              AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(conn)
        .await)?;
        if let Some(row) = row {
            return Ok(Some(Actor::Token {
                role: row.role("tokens")?,
                token_id: row.id,
                name: row.name,
            }));
        }
        let gateway_id = on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT gateway_id FROM gateway_tokens WHERE hash = $1
              AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(conn)
        .await)?;
        Ok(gateway_id.map(|gateway_id| Actor::Gateway { gateway_id }))
    }

    /// Whose session's cookie has this hash, if it is good now.
    pub async fn actor_by_session(
        &mut self,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Actor>> {
        let row = on!(self, |conn| sqlx::query_as::<_, ActorRow>(
            "SELECT u.user_id AS id, u.name, u.role FROM user_sessions s
               JOIN users u ON u.user_id = s.user_id
              WHERE s.hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(conn)
        .await)?;
        row.map(|row| {
            Ok(Actor::User {
                role: row.role("users")?,
                user_id: row.id,
                name: row.name,
            })
        })
        .transpose()
    }

    /// Whether an administrator took this gateway's access away: it had tokens, and none is left.
    pub async fn is_gateway_revoked(
        &mut self,
        gateway_id: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (all, good) = on!(self, |conn| sqlx::query_as::<_, (i64, i64)>(
            "SELECT COUNT(*), COUNT(CASE WHEN revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > $2) THEN 1 END)
               FROM gateway_tokens WHERE gateway_id = $1",
        )
        .bind(gateway_id)
        .bind(now)
        .fetch_one(conn)
        .await)?;
        Ok(all > 0 && good == 0)
    }
}
