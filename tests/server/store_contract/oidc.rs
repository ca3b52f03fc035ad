//! Who is known by a login provider.

use airlift::domain::{Role, User};

use super::*;

pub async fn a_user_is_known_by_issuer_and_subject_and_two_never_by_the_same(f: Fixture) {
    let user = |n: u128, name: &str| User {
        user_id: Uuid::from_u128(n),
        name: name.to_owned(),
        role: Role::Viewer,
        password_hash: None,
        created_at: at(0),
        updated_at: at(0),
        disabled_at: None,
    };
    let (issuer, other) = ("https://login.example", "https://other.example");
    let (anna, ben) = (user(1, "anna"), user(2, "ben"));
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_user(&anna).await.unwrap();
    tx.insert_user(&ben).await.unwrap();
    assert_eq!(tx.oidc_user(issuer, "1").await.unwrap(), None);
    tx.link_oidc_user(anna.user_id, issuer, "1").await.unwrap();
    tx.link_oidc_user(ben.user_id, other, "1").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    for (issuer, subject, known) in [
        (issuer, "1", Some(anna.user_id)),
        (other, "1", Some(ben.user_id)),
        (issuer, "2", None),
        ("", "1", None),
    ] {
        let found = tx.oidc_user(issuer, subject).await.unwrap();
        assert_eq!(found, known, "{issuer} {subject}");
    }
    // What else changes leaves it.
    let operator = User {
        role: Role::Operator,
        ..anna.clone()
    };
    tx.update_user(&operator).await.unwrap();
    assert_eq!(tx.oidc_user(issuer, "1").await.unwrap(), Some(anna.user_id));
    let again = tx.link_oidc_user(ben.user_id, issuer, "1").await;
    assert!(matches!(again, Err(Error::Duplicate)), "{again:?}");
}
