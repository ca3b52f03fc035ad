use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Changed, Error, Page, Result, Service};
use crate::{
    domain::{Caller, Role, User, check_name, check_password},
    store::{self, Tx},
};

/// What is asked of a new user.
#[derive(Clone)]
pub struct NewUser {
    pub name: String,
    pub role: Role,
    pub password: String,
}

/// Which user is meant.
#[derive(Clone, Debug)]
pub enum UserRef {
    Id(Uuid),
    Name(String),
}

/// What is to change; `None` stays.
#[derive(Clone, Default)]
pub struct UserChanges {
    pub role: Option<Role>,
    pub password: Option<String>,
    pub disabled: Option<bool>,
}

impl Service {
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User> {
        let user = self.new_user(new).await?;
        let mut tx = self.db.begin().await?;
        add_user(&mut tx, caller, &user).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(user = user.name, role = user.role.as_str(), "user made");
        Ok(user)
    }

    /// What a new user is to be, with the password's hash.
    pub(super) async fn new_user(&self, new: NewUser) -> Result<User> {
        check_name(&new.name)
            .map_err(|why| Error::invalid("invalid_name", format!("name {why}")))?;
        let password_hash = self.new_password(new.password).await?;
        let now = self.clock.now();
        Ok(User {
            user_id: self.clock.new_id(),
            name: new.name,
            role: new.role,
            password_hash: Some(password_hash),
            created_at: now,
            updated_at: now,
            disabled_at: None,
        })
    }

    pub(super) async fn new_password(&self, password: String) -> Result<String> {
        check_password(&password).map_err(|why| Error::invalid("invalid_password", why))?;
        self.passwords.hash(password).await
    }

    /// Users made before `before`, newest first.
    pub async fn users(&self, before: Uuid, limit: i64) -> Result<Page<User>> {
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.users(before, limit + 1).await?, limit))
    }

    /// Changes a user, whose sessions end by it.
    pub async fn edit_user(
        &self,
        caller: &Caller,
        user: UserRef,
        changes: UserChanges,
    ) -> Result<Changed<User>> {
        let password_hash = match changes.password {
            Some(password) => Some(self.new_password(password).await?),
            None => None,
        };
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut user = find(&mut tx, user).await?;
        let mut detail = Map::new();
        detail.insert("userId".to_owned(), json!(user.user_id));
        if let Some(role) = changes.role.filter(|role| *role != user.role) {
            detail.insert("role".to_owned(), json!(role.as_str()));
            detail.insert("roleBefore".to_owned(), json!(user.role.as_str()));
            user.role = role;
        }
        if let Some(hash) = password_hash {
            detail.insert("password".to_owned(), json!("changed"));
            user.password_hash = Some(hash);
            // Who was locked out by others' guesses gets in with the new one.
            tx.delete_login_failures(&super::log_in::account(&user.name))
                .await?;
        }
        if let Some(disabled) = changes
            .disabled
            .filter(|it| *it != user.disabled_at.is_some())
        {
            detail.insert("disabled".to_owned(), json!(disabled));
            user.disabled_at = disabled.then_some(now);
        }
        if detail.len() > 1 {
            user.updated_at = now;
            tx.update_user(&user).await?;
            tx.delete_user_sessions(user.user_id).await?;
            tx.audit(&caller.did("user.update", user.name.clone(), Value::Object(detail), now))
                .await?;
        }
        let admin_left = tx.has_admin(now).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(user = user.name, "user changed");
        Ok(Changed {
            now: user,
            admin_left,
        })
    }

    /// Deletes a user with the sessions.
    pub async fn delete_user(&self, caller: &Caller, user: UserRef) -> Result<Changed<User>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let user = find(&mut tx, user).await?;
        tx.delete_user(user.user_id).await?;
        tx.audit(&caller.did(
            "user.delete",
            user.name.clone(),
            json!({ "userId": user.user_id, "role": user.role.as_str() }),
            now,
        ))
        .await?;
        let admin_left = tx.has_admin(now).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(user = user.name, "user deleted");
        Ok(Changed {
            now: user,
            admin_left,
        })
    }
}

/// From now on every door asks.
pub(super) async fn add_user(tx: &mut Tx, caller: &Caller, user: &User) -> Result<()> {
    tx.insert_user(user).await.map_err(|error| match error {
        store::Error::Duplicate => Error::conflict(
            "user_exists",
            format!(
                "there is a user named {:?} already: choose another name",
                user.name
            ),
        ),
        error => error.into(),
    })?;
    tx.close_doors(user.created_at).await?;
    tx.audit(&caller.did(
        "user.create",
        user.name.clone(),
        json!({ "userId": user.user_id, "role": user.role.as_str() }),
        user.created_at,
    ))
    .await?;
    Ok(())
}

async fn find(tx: &mut Tx, user: UserRef) -> Result<User> {
    let (found, what) = match user {
        UserRef::Id(id) => (tx.lock_user(id).await?, id.to_string()),
        UserRef::Name(name) => {
            let named = tx.user_by_name(&name).await?;
            let locked = match named {
                Some(user) => tx.lock_user(user.user_id).await?,
                None => None,
            };
            (locked, format!("named {name:?}"))
        }
    };
    found.ok_or_else(|| {
        Error::not_found(
            "user_not_found",
            format!("there is no user {what}: look at the list of users"),
        )
    })
}
