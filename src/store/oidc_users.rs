use uuid::Uuid;

use super::{Result, Tx};

impl Tx {
    /// Who is known as this subject at this issuer.
    pub async fn oidc_user(&mut self, issuer: &str, subject: &str) -> Result<Option<Uuid>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT user_id FROM users WHERE oidc_issuer = $1 AND oidc_subject = $2"
        )
        .bind(issuer)
        .bind(subject)
        .fetch_optional(conn)
        .await)?)
    }

    /// From now on the user is known by this. [`super::Error::Duplicate`] if another is.
    pub async fn link_oidc_user(
        &mut self,
        user_id: Uuid,
        issuer: &str,
        subject: &str,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE users SET oidc_issuer = $2, oidc_subject = $3 WHERE user_id = $1"
        )
        .bind(user_id)
        .bind(issuer)
        .bind(subject)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
