use chrono::{DateTime, Utc};

use super::{Result, Tx};

impl Tx {
    /// The secret of this name that all servers sign with; `fresh` becomes it if there is none.
    pub async fn signing_secret(
        &mut self,
        name: &str,
        fresh: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO signing_secrets (name, secret, created_at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(fresh)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT secret FROM signing_secrets WHERE name = $1"
        )
        .bind(name)
        .fetch_one(conn)
        .await)?)
    }
}
