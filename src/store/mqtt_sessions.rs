use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};

/// An MQTT client id and the server that holds it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct SessionLease {
    pub client_id: String,
    pub holder: Uuid,
    pub leased_until: DateTime<Utc>,
}

impl Tx {
    /// A new client id, held by `lease.holder`.
    pub async fn insert_session(&mut self, lease: &SessionLease) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO mqtt_sessions (client_id, holder, leased_until) VALUES ($1, $2, $3)",
        )
        .bind(&lease.client_id)
        .bind(lease.holder)
        .bind(lease.leased_until)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Takes over a client id whose lease has run out, if there is one.
    pub async fn claim_expired_session(
        &mut self,
        holder: Uuid,
        now: DateTime<Utc>,
        leased_until: DateTime<Utc>,
    ) -> Result<Option<String>> {
        let expired = on_locked!(
            self,
            [
                "SELECT client_id FROM mqtt_sessions WHERE leased_until <= $1
              ORDER BY client_id LIMIT 1"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_scalar::<_, String>(sql)
                .bind(now)
                .fetch_optional(conn)
                .await
        )?;
        if let Some(client_id) = &expired {
            on!(self, |conn| sqlx::query(
                "UPDATE mqtt_sessions SET holder = $2, leased_until = $3 WHERE client_id = $1",
            )
            .bind(client_id)
            .bind(holder)
            .bind(leased_until)
            .execute(conn)
            .await
            .map(drop))?;
        }
        Ok(expired)
    }

    /// Prolongs (or, with a time that has passed, gives back) a lease; whether `holder` still had
    /// it.
    pub async fn renew_session(&mut self, lease: &SessionLease) -> Result<bool> {
        let renewed = on!(self, |conn| sqlx::query(
            "UPDATE mqtt_sessions SET leased_until = $3 WHERE client_id = $1 AND holder = $2",
        )
        .bind(&lease.client_id)
        .bind(lease.holder)
        .bind(lease.leased_until)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(renewed > 0)
    }

    /// Ends every lease.
    pub async fn expire_sessions(&mut self, now: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE mqtt_sessions SET leased_until = $1"
        )
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets a client id that `holder` has drained.
    pub async fn delete_session(&mut self, client_id: &str, holder: Uuid) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM mqtt_sessions WHERE client_id = $1 AND holder = $2",
        )
        .bind(client_id)
        .bind(holder)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
