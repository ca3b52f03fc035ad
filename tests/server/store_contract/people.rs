//! Tokens, users, sessions, failed logins, setup links.

use airlift::{
    domain::{Actor, Role, Token, User},
    store::TokenFilter,
};
use chrono::TimeDelta;

use super::*;

fn token(n: u128, name: &str) -> Token {
    Token {
        token_id: id(n),
        name: name.into(),
        role: Role::Publisher,
        created_by: "ann".into(),
        created_at: at(0),
        expires_at: Some(at(100)),
        revoked_at: None,
        last_used_at: None,
    }
}

fn user(n: u128, name: &str, role: Role) -> User {
    User {
        user_id: id(n),
        name: name.into(),
        role,
        password_hash: Some("$argon2id$".into()),
        created_at: at(0),
        updated_at: at(1),
        disabled_at: None,
    }
}

pub(super) async fn a_token_comes_back_and_its_name_is_free_once_it_is_revoked(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_token(&token(1, "ci"), "h1").await.unwrap();
    assert_eq!(tx.token(id(1)).await.unwrap(), Some(token(1, "ci")));
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    let again = tx.insert_token(&token(2, "ci"), "h2").await;
    assert!(matches!(again, Err(Error::Duplicate)), "{again:?}");
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    assert!(tx.revoke_token(id(1), at(5)).await.unwrap());
    assert!(!tx.revoke_token(id(1), at(6)).await.unwrap());
    tx.insert_token(&token(2, "ci"), "h2").await.unwrap();
    let named = tx.token_by_name("ci").await.unwrap().unwrap();
    assert_eq!(named.token_id, id(2));
    let mut list = async |revoked, before| -> Vec<u128> {
        let filter = TokenFilter {
            revoked,
            before,
            limit: 10,
        };
        let tokens = tx.tokens(&filter).await.unwrap();
        tokens.iter().map(|it| it.token_id.as_u128()).collect()
    };
    assert_eq!(list(false, Uuid::max()).await, [2]);
    assert_eq!(list(true, Uuid::max()).await, [2, 1]);
    assert_eq!(list(true, id(2)).await, [1]);
    assert_eq!(tx.actor_by_token("h1", at(1)).await.unwrap(), None);
    assert_eq!(tx.actor_by_token("h2", at(100)).await.unwrap(), None);
    let actor = tx.actor_by_token("h2", at(99)).await.unwrap();
    assert_eq!(actor.and_then(|it| it.role()), Some(Role::Publisher));
}

pub(super) async fn the_use_of_a_token_is_noted_once_a_minute(f: Fixture) {
    let minute = TimeDelta::minutes(1);
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_token(&token(1, "ci"), "h1").await.unwrap();
    let mut notes = Vec::new();
    for second in [0, 59, 60, 61] {
        let used = at(second);
        notes.push(tx.note_token_use(id(1), used, used - minute).await.unwrap());
    }
    assert_eq!(notes, [true, false, true, false]);
    let used = tx.token(id(1)).await.unwrap().unwrap().last_used_at;
    assert_eq!(used, Some(at(60)));
}

pub(super) async fn a_user_comes_back_and_takes_the_sessions_along(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let ann = user(1, "ann", Role::Operator);
    tx.insert_user(&ann).await.unwrap();
    assert_eq!(tx.user_by_name("ann").await.unwrap(), Some(ann.clone()));
    assert!(!tx.has_admin(at(2)).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    let again = tx.insert_user(&user(2, "ann", Role::Admin)).await;
    assert!(matches!(again, Err(Error::Duplicate)), "{again:?}");
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    for (hash, end) in [("s1", 50), ("s2", 60), ("s3", 70)] {
        tx.insert_user_session(hash, id(1), at(0), at(end))
            .await
            .unwrap();
    }
    let actor = tx.actor_by_session("s1", at(49)).await.unwrap();
    assert!(matches!(actor, Some(Actor::User { .. })), "{actor:?}");
    assert_eq!(tx.actor_by_session("s1", at(50)).await.unwrap(), None);
    assert_eq!(tx.user_session_end("s2").await.unwrap(), Some(at(60)));
    assert_eq!(tx.delete_expired_user_sessions(at(50)).await.unwrap(), 1);
    assert!(tx.delete_user_session("s2").await.unwrap());
    assert!(!tx.delete_user_session("s2").await.unwrap());
    let mut changed = tx.lock_user(id(1)).await.unwrap().unwrap();
    changed.role = Role::Admin;
    changed.disabled_at = Some(at(9));
    tx.update_user(&changed).await.unwrap();
    assert_eq!(tx.lock_user(id(1)).await.unwrap(), Some(changed.clone()));
    assert!(!tx.has_admin_user().await.unwrap(), "disabled");
    assert_eq!(tx.actor_by_session("s3", at(1)).await.unwrap(), None);
    changed.disabled_at = None;
    tx.update_user(&changed).await.unwrap();
    assert!(tx.has_admin(at(2)).await.unwrap());
    assert_eq!(tx.users(Uuid::max(), 5).await.unwrap(), [changed]);
    tx.delete_user(id(1)).await.unwrap();
    assert_eq!(tx.user_session_end("s3").await.unwrap(), None);
}

pub(super) async fn failed_logins_are_counted_in_one_hand(f: Fixture) {
    let count = async || {
        let mut tx = f.db.begin().await.unwrap();
        let (failures, _) = tx.lock_login_failures("account:a", at(0)).await.unwrap();
        tx.put_login_failures("account:a", failures + 1, at(30), at(1))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    tokio::join!(count(), count(), count(), count());
    let mut tx = f.db.begin().await.unwrap();
    let counted = tx.lock_login_failures("account:a", at(0)).await.unwrap();
    assert_eq!(counted, (4, at(30)));
    let until = tx.login_blocked_until("account:a").await.unwrap();
    assert_eq!(until, Some(at(30)));
    assert_eq!(tx.login_blocked_until("account:b").await.unwrap(), None);
    assert_eq!(tx.delete_old_login_failures(at(29)).await.unwrap(), 0);
    assert_eq!(tx.delete_old_login_failures(at(30)).await.unwrap(), 1);
    tx.lock_login_failures("account:a", at(0)).await.unwrap();
    tx.delete_login_failures("account:a").await.unwrap();
    assert_eq!(tx.login_blocked_until("account:a").await.unwrap(), None);
}

pub(super) async fn a_setup_link_is_good_once_and_closes_the_doors_while_it_is(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    assert!(!tx.is_closed(at(0)).await.unwrap());
    for (hash, end) in [("l1", 50), ("l2", 60)] {
        tx.insert_setup_link(hash, at(0), at(end)).await.unwrap();
    }
    assert!(tx.is_closed(at(59)).await.unwrap());
    assert!(!tx.is_closed(at(60)).await.unwrap());
    assert!(!tx.has_credentials(at(0)).await.unwrap());
    assert_eq!(tx.newest_setup_link_end(at(1)).await.unwrap(), Some(at(60)));
    assert_eq!(tx.setup_link_end("l1", at(49)).await.unwrap(), Some(at(50)));
    assert_eq!(tx.setup_link_end("l1", at(50)).await.unwrap(), None);
    assert!(!tx.use_setup_link("l1", at(50)).await.unwrap());
    assert!(tx.use_setup_link("l1", at(49)).await.unwrap());
    assert!(!tx.use_setup_link("l1", at(49)).await.unwrap());
    assert!(!tx.use_setup_link("l3", at(49)).await.unwrap());
    tx.end_setup_links(at(49)).await.unwrap();
    assert!(!tx.use_setup_link("l2", at(49)).await.unwrap());
    assert!(!tx.is_closed(at(49)).await.unwrap());
}

pub(super) async fn doors_stay_closed_when_the_last_credential_goes(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for n in 1..=2 {
        let token = token(n, &format!("t{n}"));
        tx.insert_token(&token, &token.name).await.unwrap();
        tx.close_doors(at(0)).await.unwrap();
    }
    assert!(tx.has_credentials(at(99)).await.unwrap());
    assert!(!tx.has_credentials(at(100)).await.unwrap(), "expired");
    for n in 1..=2 {
        tx.revoke_token(id(n), at(1)).await.unwrap();
    }
    assert!(!tx.has_credentials(at(2)).await.unwrap());
    assert!(tx.is_closed(at(2)).await.unwrap());
}
