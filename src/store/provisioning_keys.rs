use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::ProvisioningKey;

macro_rules! columns {
    () => {
        "key_id, name, hash, device_type, claims_max, claims, created_by, created_at, expires_at, \
         revoked_at"
    };
}

#[derive(sqlx::FromRow)]
struct ProvisioningKeyRow {
    key_id: Uuid,
    name: String,
    hash: String,
    device_type: Option<String>,
    claims_max: Option<i64>,
    claims: i64,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<ProvisioningKeyRow> for ProvisioningKey {
    fn from(row: ProvisioningKeyRow) -> ProvisioningKey {
        ProvisioningKey {
            key_id: row.key_id,
            name: row.name,
            hash: row.hash,
            device_type: row.device_type,
            claims_max: row.claims_max,
            claims: row.claims,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl Tx {
    /// [`super::Error::Duplicate`] if a key that is not revoked has this name.
    pub async fn insert_provisioning_key(&mut self, key: &ProvisioningKey) -> Result<()> {
        on!(self, |conn| sqlx::query(concat!(
            "INSERT INTO provisioning_keys (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        ))
        .bind(key.key_id)
        .bind(&key.name)
        .bind(&key.hash)
        .bind(&key.device_type)
        .bind(key.claims_max)
        .bind(key.claims)
        .bind(&key.created_by)
        .bind(key.created_at)
        .bind(key.expires_at)
        .bind(key.revoked_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keys made before `before`, the newest first.
    pub async fn provisioning_keys(
        &mut self,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<ProvisioningKey>> {
        let rows = on!(self, |conn| sqlx::query_as::<_, ProvisioningKeyRow>(
            concat!(
                "SELECT ",
                columns!(),
                " FROM provisioning_keys WHERE key_id < $1 ORDER BY key_id DESC LIMIT $2"
            )
        )
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
        Ok(rows.into_iter().map(ProvisioningKey::from).collect())
    }

    /// The key with this id, locked until the transaction ends.
    pub async fn lock_provisioning_key(&mut self, key_id: Uuid) -> Result<Option<ProvisioningKey>> {
        let row = on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM provisioning_keys WHERE key_id = $1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, ProvisioningKeyRow>(sql)
                .bind(key_id)
                .fetch_optional(conn)
                .await
        )?;
        Ok(row.map(ProvisioningKey::from))
    }

    /// The key with this hash, locked until the transaction ends.
    pub async fn lock_provisioning_key_by_hash(
        &mut self,
        hash: &str,
    ) -> Result<Option<ProvisioningKey>> {
        let row = on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM provisioning_keys WHERE hash = $1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, ProvisioningKeyRow>(sql)
                .bind(hash)
                .fetch_optional(conn)
                .await
        )?;
        Ok(row.map(ProvisioningKey::from))
    }

    /// Whether there is a key with this hash, a good one or not.
    pub async fn has_provisioning_key(&mut self, hash: &str) -> Result<bool> {
        let keys = on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM provisioning_keys WHERE hash = $1",
        )
        .bind(hash)
        .fetch_one(conn)
        .await)?;
        Ok(keys > 0)
    }

    /// Stores what changes of a key: how many have claimed with it, and its revocation.
    pub async fn update_provisioning_key(&mut self, key: &ProvisioningKey) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE provisioning_keys SET claims = $2, revoked_at = $3 WHERE key_id = $1",
        )
        .bind(key.key_id)
        .bind(key.claims)
        .bind(key.revoked_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }
}
