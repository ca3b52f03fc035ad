use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};

impl Tx {
    pub async fn insert_user_session(
        &mut self,
        hash: &str,
        user_id: Uuid,
        created_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO user_sessions (hash, user_id, created_at, expires_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(hash)
        .bind(user_id)
        .bind(created_at)
        .bind(expires_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// When the session with this hash ends.
    pub async fn user_session_end(&mut self, hash: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT expires_at FROM user_sessions WHERE hash = $1"
        )
        .bind(hash)
        .fetch_optional(conn)
        .await)?)
    }

    pub async fn delete_user_session(&mut self, hash: &str) -> Result<bool> {
        let ended = on!(self, |conn| sqlx::query(
            "DELETE FROM user_sessions WHERE hash = $1"
        )
        .bind(hash)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(ended > 0)
    }

    /// All of a user; how many.
    pub async fn delete_user_sessions(&mut self, user_id: Uuid) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "DELETE FROM user_sessions WHERE user_id = $1"
        )
        .bind(user_id)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }

    pub async fn delete_expired_user_sessions(&mut self, now: DateTime<Utc>) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "DELETE FROM user_sessions WHERE expires_at <= $1"
        )
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
