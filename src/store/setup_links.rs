use chrono::{DateTime, Utc};

use super::{Result, Tx};

impl Tx {
    pub async fn insert_setup_link(
        &mut self,
        hash: &str,
        created_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO setup_links (hash, created_at, expires_at) VALUES ($1, $2, $3)",
        )
        .bind(hash)
        .bind(created_at)
        .bind(expires_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Until when the link with this hash is good; none if it is not.
    pub async fn setup_link_end(
        &mut self,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT expires_at FROM setup_links
              WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(conn)
        .await)?)
    }

    /// Until when some link is good.
    pub async fn newest_setup_link_end(
        &mut self,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT expires_at FROM setup_links WHERE used_at IS NULL AND expires_at > $1
              ORDER BY expires_at DESC LIMIT 1",
        )
        .bind(now)
        .fetch_optional(conn)
        .await)?)
    }

    /// Uses a link up; whether it was good until now.
    pub async fn use_setup_link(&mut self, hash: &str, now: DateTime<Utc>) -> Result<bool> {
        let used = on!(self, |conn| sqlx::query(
            "UPDATE setup_links SET used_at = $2
              WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(hash)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(used > 0)
    }

    /// No link is good from now on.
    pub async fn end_setup_links(&mut self, now: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE setup_links SET used_at = $1 WHERE used_at IS NULL",
        )
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
