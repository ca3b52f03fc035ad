use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Role, Token};

macro_rules! token_columns {
    () => {
        "token_id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at"
    };
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    token_id: Uuid,
    name: String,
    role: String,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl TryFrom<TokenRow> for Token {
    type Error = Error;

    fn try_from(row: TokenRow) -> Result<Token> {
        Ok(Token {
            role: Role::parse(&row.role).ok_or_else(|| Error::BadRow {
                table: "tokens",
                column: "role",
                row: row.token_id.to_string(),
                value: row.role.clone(),
            })?,
            token_id: row.token_id,
            name: row.name,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        })
    }
}

/// Which tokens to list, newest first.
#[derive(Clone, Debug)]
pub struct TokenFilter {
    /// Also those that were revoked.
    pub revoked: bool,
    pub before: Uuid,
    pub limit: i64,
}

impl Tx {
    /// [`Error::Duplicate`] if a token that is not revoked has this name.
    pub async fn insert_token(&mut self, token: &Token, hash: &str) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.token_id)
        .bind(&token.name)
        .bind(token.role.as_str())
        .bind(hash)
        .bind(&token.created_by)
        .bind(token.created_at)
        .bind(token.expires_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn tokens(&mut self, filter: &TokenFilter) -> Result<Vec<Token>> {
        let rows: Vec<TokenRow> = on!(self, |conn| sqlx::query_as(concat!(
            "SELECT ",
            token_columns!(),
            " FROM tokens WHERE token_id < $1 AND ($2 OR revoked_at IS NULL)
              ORDER BY token_id DESC LIMIT $3"
        ))
        .bind(filter.before)
        .bind(filter.revoked)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?;
        rows.into_iter().map(Token::try_from).collect()
    }

    pub async fn token(&mut self, token_id: Uuid) -> Result<Option<Token>> {
        on!(self, |conn| sqlx::query_as::<_, TokenRow>(concat!(
            "SELECT ",
            token_columns!(),
            " FROM tokens WHERE token_id = $1"
        ))
        .bind(token_id)
        .fetch_optional(conn)
        .await)?
        .map(Token::try_from)
        .transpose()
    }

    /// The token of this name that is not revoked.
    pub async fn token_by_name(&mut self, name: &str) -> Result<Option<Token>> {
        on!(self, |conn| sqlx::query_as::<_, TokenRow>(concat!(
            "SELECT ",
            token_columns!(),
            " FROM tokens WHERE name = $1 AND revoked_at IS NULL"
        ))
        .bind(name)
        .fetch_optional(conn)
        .await)?
        .map(Token::try_from)
        .transpose()
    }

    /// Whether it was good until now.
    pub async fn revoke_token(&mut self, token_id: Uuid, now: DateTime<Utc>) -> Result<bool> {
        let revoked = on!(self, |conn| sqlx::query(
            "UPDATE tokens SET revoked_at = $2 WHERE token_id = $1 AND revoked_at IS NULL",
        )
        .bind(token_id)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(revoked > 0)
    }

    /// Notes that a token was used, unless that was noted after `noted_before` already.
    pub async fn note_token_use(
        &mut self,
        token_id: Uuid,
        used_at: DateTime<Utc>,
        noted_before: DateTime<Utc>,
    ) -> Result<bool> {
        let noted = on!(self, |conn| sqlx::query(
            "UPDATE tokens SET last_used_at = $2
              WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
        )
        .bind(token_id)
        .bind(used_at)
        .bind(noted_before)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(noted > 0)
    }
}
