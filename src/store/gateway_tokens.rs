use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Result, Tx, db::TxInner, gateway_query::Dialect};
use crate::domain::GatewayToken;

/// Rows per statement; SQLite takes 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 1000;
/// The class of the PostgreSQL advisory locks under which a gateway gets its tokens; the second
/// number is a hash of its id.
const TOKENS_LOCK_CLASS: i32 = 0x0a12_11f8;

macro_rules! columns {
    () => {
        "token_id, gateway_id, hash, mosquitto_hash, provisioning_key_id, created_by, created_at, \
         expires_at, revoked_at, last_used_at"
    };
}

#[derive(sqlx::FromRow)]
struct GatewayTokenRow {
    token_id: Uuid,
    gateway_id: String,
    hash: String,
    mosquitto_hash: String,
    provisioning_key_id: Option<Uuid>,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<GatewayTokenRow> for GatewayToken {
    fn from(row: GatewayTokenRow) -> GatewayToken {
        GatewayToken {
            token_id: row.token_id,
            gateway_id: row.gateway_id,
            hash: row.hash,
            mosquitto_hash: row.mosquitto_hash,
            provisioning_key_id: row.provisioning_key_id,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// What an outside broker is told of a gateway: its newest token.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BrokerLogin {
    pub gateway_id: String,
    /// SHA-256 (hex).
    pub hash: String,
    /// As a password file of Mosquitto has it.
    pub mosquitto_hash: String,
}

impl Tx {
    /// A gateway's tokens, the oldest first; nobody else changes them until the transaction ends.
    pub async fn lock_gateway_tokens(&mut self, gateway_id: &str) -> Result<Vec<GatewayToken>> {
        if let TxInner::Postgres(tx) = &mut self.inner {
            // There is no row to lock before the first token. The second waits for who makes many.
            sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
                .bind(TOKENS_LOCK_CLASS)
                .bind(gateway_id)
                .execute(&mut **tx)
                .await?;
            sqlx::query("LOCK TABLE gateway_tokens IN ROW EXCLUSIVE MODE")
                .execute(&mut **tx)
                .await?;
        }
        self.gateway_tokens(gateway_id).await
    }

    /// Nobody else changes any gateway's tokens until the transaction ends.
    pub async fn lock_all_gateway_tokens(&mut self) -> Result<()> {
        if let TxInner::Postgres(tx) = &mut self.inner {
            sqlx::query("LOCK TABLE gateway_tokens IN SHARE ROW EXCLUSIVE MODE")
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// A gateway's tokens, the oldest first.
    pub async fn gateway_tokens(&mut self, gateway_id: &str) -> Result<Vec<GatewayToken>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, GatewayTokenRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM gateway_tokens WHERE gateway_id = $1 ORDER BY token_id"
        ))
        .bind(gateway_id)
        .fetch_all(conn)
        .await)?;
        Ok(rows.into_iter().map(GatewayToken::from).collect())
    }

    /// [`super::Error::Duplicate`] if one of them is somebody's already.
    pub async fn insert_gateway_tokens(&mut self, tokens: &[GatewayToken]) -> Result<()> {
        for tokens in tokens.chunks(ROWS_PER_STATEMENT) {
            on!(self, |conn| {
                let mut query =
                    QueryBuilder::new(concat!("INSERT INTO gateway_tokens (", columns!(), ") "));
                query.push_values(tokens, |mut row, token| {
                    row.push_bind(token.token_id)
                        .push_bind(&token.gateway_id)
                        .push_bind(&token.hash)
                        .push_bind(&token.mosquitto_hash)
                        .push_bind(token.provisioning_key_id)
                        .push_bind(&token.created_by)
                        .push_bind(token.created_at)
                        .push_bind(token.expires_at)
                        .push_bind(token.revoked_at)
                        .push_bind(token.last_used_at);
                });
                query
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
        Ok(())
    }

    pub async fn end_gateway_token(&mut self, token_id: Uuid, at: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE gateway_tokens SET expires_at = $2 WHERE token_id = $1",
        )
        .bind(token_id)
        .bind(at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Revokes the good tokens of a gateway; how many.
    pub async fn revoke_gateway_tokens(
        &mut self,
        gateway_id: &str,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "UPDATE gateway_tokens SET revoked_at = $2 WHERE gateway_id = $1
              AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(gateway_id)
        .bind(now)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }

    /// Which of these gateways have a good token.
    pub async fn gateways_with_tokens(
        &mut self,
        ids: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>> {
        Ok(on!(self, |conn| {
            let mut query =
                QueryBuilder::new("SELECT DISTINCT gateway_id FROM gateway_tokens WHERE ");
            Dialect::push_one_of(&mut query, "gateway_id", ids);
            query.push(" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ");
            query.push_bind(now).push(") ORDER BY gateway_id");
            query
                .build_query_scalar::<String>()
                .persistent(false)
                .fetch_all(conn)
                .await
        })?)
    }

    /// When the good token with this hash was last used; `None` if there is none, `Some(None)` if
    /// nobody has used it.
    pub async fn gateway_token_use(&mut self, hash: &str) -> Result<Option<Option<DateTime<Utc>>>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT last_used_at FROM gateway_tokens WHERE hash = $1",
        )
        .bind(hash)
        .fetch_optional(conn)
        .await)?)
    }

    /// Notes that a token is used; those of its gateway that are older end.
    pub async fn note_gateway_token_use(&mut self, hash: &str, now: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE gateway_tokens SET last_used_at = $2 WHERE hash = $1",
        )
        .bind(hash)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        on!(self, |conn| sqlx::query(
            "UPDATE gateway_tokens SET expires_at = $2
              WHERE gateway_id = (SELECT gateway_id FROM gateway_tokens WHERE hash = $1)
                AND token_id < (SELECT token_id FROM gateway_tokens WHERE hash = $1)
                AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(hash)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The newest good token of each gateway with an id behind `after`, by id.
    pub async fn broker_logins(
        &mut self,
        after: &str,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<BrokerLogin>> {
        Ok(on!(self, |conn| sqlx::query_as(
            "SELECT gateway_id, hash, mosquitto_hash FROM gateway_tokens AS t
              WHERE gateway_id > $1
                AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                AND NOT EXISTS (
                    SELECT 1 FROM gateway_tokens AS newer
                     WHERE newer.gateway_id = t.gateway_id AND newer.token_id > t.token_id
                       AND newer.revoked_at IS NULL
                       AND (newer.expires_at IS NULL OR newer.expires_at > $2))
              ORDER BY gateway_id LIMIT $3",
        )
        .bind(after)
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
    }

    /// Tokens of all gateways made before `before`, the newest first.
    pub async fn all_gateway_tokens(
        &mut self,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<GatewayToken>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, GatewayTokenRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM gateway_tokens WHERE token_id < $1 ORDER BY token_id DESC LIMIT $2"
        ))
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
        Ok(rows.into_iter().map(GatewayToken::from).collect())
    }
}
