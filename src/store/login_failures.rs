use chrono::{DateTime, Utc};

use super::{Result, Tx};

impl Tx {
    /// Failed logins of a subject and until when it is blocked, with its row locked for this
    /// transaction.
    pub async fn lock_login_failures(
        &mut self,
        subject: &str,
        now: DateTime<Utc>,
    ) -> Result<(i64, DateTime<Utc>)> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO login_failures (subject, failures, blocked_until, updated_at)
             VALUES ($1, 0, $2, $2) ON CONFLICT DO NOTHING",
        )
        .bind(subject)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(on_locked!(
            self,
            ["SELECT failures, blocked_until FROM login_failures WHERE subject = $1"],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as(sql).bind(subject).fetch_one(conn).await
        )?)
    }

    /// Until when a subject is blocked, if it has failed.
    pub async fn login_blocked_until(&mut self, subject: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT blocked_until FROM login_failures WHERE subject = $1"
        )
        .bind(subject)
        .fetch_optional(conn)
        .await)?)
    }

    pub async fn put_login_failures(
        &mut self,
        subject: &str,
        failures: i64,
        blocked_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE login_failures SET failures = $2, blocked_until = $3, updated_at = $4
              WHERE subject = $1",
        )
        .bind(subject)
        .bind(failures)
        .bind(blocked_until)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn delete_login_failures(&mut self, subject: &str) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM login_failures WHERE subject = $1"
        )
        .bind(subject)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets those that have not failed since.
    pub async fn delete_old_login_failures(&mut self, before: DateTime<Utc>) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "DELETE FROM login_failures WHERE updated_at <= $1 AND blocked_until <= $1"
        )
        .bind(before)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
