use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Role, User};

macro_rules! user_columns {
    () => {
        "user_id, name, role, password_hash, created_at, updated_at, disabled_at"
    };
}

#[derive(sqlx::FromRow)]
struct UserRow {
    user_id: Uuid,
    name: String,
    role: String,
    password_hash: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(row: UserRow) -> Result<User> {
        Ok(User {
            role: Role::parse(&row.role).ok_or_else(|| Error::BadRow {
                table: "users",
                column: "role",
                row: row.user_id.to_string(),
                value: row.role.clone(),
            })?,
            user_id: row.user_id,
            name: row.name,
            password_hash: row.password_hash,
            created_at: row.created_at,
            updated_at: row.updated_at,
            disabled_at: row.disabled_at,
        })
    }
}

impl Tx {
    /// [`Error::Duplicate`] if somebody has this name.
    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO users
             (user_id, name, role, password_hash, created_at, updated_at, disabled_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(user.user_id)
        .bind(&user.name)
        .bind(user.role.as_str())
        .bind(&user.password_hash)
        .bind(user.created_at)
        .bind(user.updated_at)
        .bind(user.disabled_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Users made before `before`, newest first.
    pub async fn users(&mut self, before: Uuid, limit: i64) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = on!(self, |conn| sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE user_id < $1 ORDER BY user_id DESC LIMIT $2"
        ))
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
        rows.into_iter().map(User::try_from).collect()
    }

    pub async fn user_by_name(&mut self, name: &str) -> Result<Option<User>> {
        on!(self, |conn| sqlx::query_as::<_, UserRow>(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE name = $1"
        ))
        .bind(name)
        .fetch_optional(conn)
        .await)?
        .map(User::try_from)
        .transpose()
    }

    /// The user with its row locked for this transaction.
    pub async fn lock_user(&mut self, user_id: Uuid) -> Result<Option<User>> {
        on_locked!(
            self,
            ["SELECT ", user_columns!(), " FROM users WHERE user_id = $1"],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, UserRow>(sql)
                .bind(user_id)
                .fetch_optional(conn)
                .await
        )?
        .map(User::try_from)
        .transpose()
    }

    /// Everything but name and time of making.
    pub async fn update_user(&mut self, user: &User) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE users SET role = $2, password_hash = $3, updated_at = $4, disabled_at = $5
              WHERE user_id = $1",
        )
        .bind(user.user_id)
        .bind(user.role.as_str())
        .bind(&user.password_hash)
        .bind(user.updated_at)
        .bind(user.disabled_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// With its sessions.
    pub async fn delete_user(&mut self, user_id: Uuid) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM users WHERE user_id = $1"
        )
        .bind(user_id)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Whether somebody who is not disabled may do everything.
    pub async fn has_admin_user(&mut self) -> Result<bool> {
        let admins: i64 = on!(self, |conn| sqlx::query_scalar(
            "SELECT COUNT(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL"
        )
        .fetch_one(conn)
        .await)?;
        Ok(admins > 0)
    }

    /// Whether anybody, person or machine, may do everything.
    pub async fn has_admin(&mut self, now: DateTime<Utc>) -> Result<bool> {
        let tokens: i64 = on!(self, |conn| sqlx::query_scalar(
            "SELECT COUNT(*) FROM tokens WHERE role = 'admin' AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > $1)"
        )
        .bind(now)
        .fetch_one(conn)
        .await)?;
        Ok(tokens > 0 || self.has_admin_user().await?)
    }
}
