use chrono::{DateTime, Utc};

use super::{Result, Tx};

impl Tx {
    /// The secret of this name, if it was made.
    pub async fn signing_secret(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT secret FROM signing_secrets WHERE name = $1",
        )
        .bind(name)
        .fetch_optional(conn)
        .await)?)
    }

    /// Makes `secret` the one of this name, unless there is one: then that stays. Who comes second
    /// waits for the first, whatever server it is.
    pub async fn put_signing_secret(
        &mut self,
        name: &str,
        secret: &[u8],
        now: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO signing_secrets (name, secret, created_at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(secret)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
