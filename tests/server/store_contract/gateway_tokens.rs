//! What gateways show themselves with, and the keys they claim it with.

use std::{collections::BTreeSet, time::Duration};

use airlift::{
    domain::{GatewayToken, ProvisioningKey},
    store::BrokerLogin,
};
use tokio::time::timeout;

use super::*;

/// Long enough to believe that a statement waits for another transaction.
const WAITS: Duration = Duration::from_millis(300);

fn token(n: u128, gateway_id: &str) -> GatewayToken {
    GatewayToken {
        token_id: id(n),
        gateway_id: gateway_id.into(),
        hash: format!("hash {n}"),
        mosquitto_hash: format!("$7${n}"),
        provisioning_key_id: Some(id(77)),
        created_by: "admin".into(),
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

pub(super) async fn a_gateways_tokens_come_back_end_and_are_found(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut tokens = [token(1, "g1"), token(2, "g1"), token(3, "g2")];
    tx.insert_gateway_tokens(&tokens).await.unwrap();
    assert_eq!(tx.lock_gateway_tokens("g1").await.unwrap(), tokens[..2]);
    assert_eq!(tx.gateway_tokens("nobody").await.unwrap(), []);
    let all = tx.all_gateway_tokens(id(3), 1).await.unwrap();
    assert_eq!(all, tokens[1..2]);

    tx.end_gateway_token(id(1), at(10)).await.unwrap();
    tokens[0].expires_at = Some(at(10));
    assert_eq!(tx.revoke_gateway_tokens("g2", at(20)).await.unwrap(), 1);
    assert_eq!(tx.revoke_gateway_tokens("g2", at(21)).await.unwrap(), 0);
    tokens[2].revoked_at = Some(at(20));
    assert_eq!(tx.gateway_tokens("g1").await.unwrap(), tokens[..2]);
    assert_eq!(tx.gateway_tokens("g2").await.unwrap(), tokens[2..]);

    let ids: BTreeSet<String> = ["g1", "g2", "g3"].map(str::to_owned).into();
    let with = tx.gateways_with_tokens(&ids, at(21)).await.unwrap();
    assert_eq!(with, ["g1"]);
    tx.commit().await.unwrap();

    let mut tx = f.db.begin().await.unwrap();
    let again = GatewayToken {
        token_id: id(9),
        ..token(1, "g4")
    };
    let refused = tx.insert_gateway_tokens(&[again]).await;
    assert!(matches!(refused, Err(Error::Duplicate)), "{refused:?}");
}

pub(super) async fn a_used_token_ends_those_before_it_and_no_other(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let revoked = GatewayToken {
        revoked_at: Some(at(1)),
        ..token(1, "g1")
    };
    let tokens = [
        revoked.clone(),
        token(2, "g1"),
        token(3, "g1"),
        token(4, "g1"),
        token(5, "g2"),
    ];
    tx.insert_gateway_tokens(&tokens).await.unwrap();
    assert_eq!(tx.gateway_token_use("hash 3").await.unwrap(), Some(None));
    assert_eq!(tx.gateway_token_use("none").await.unwrap(), None);
    tx.note_gateway_token_use("hash 3", at(10)).await.unwrap();
    assert_eq!(
        tx.gateway_token_use("hash 3").await.unwrap(),
        Some(Some(at(10)))
    );
    let [_, mut second, mut third, fourth, fifth] = tokens;
    second.expires_at = Some(at(10));
    third.last_used_at = Some(at(10));
    assert_eq!(
        tx.gateway_tokens("g1").await.unwrap(),
        [revoked, second, third, fourth]
    );
    assert_eq!(tx.gateway_tokens("g2").await.unwrap(), [fifth]);
}

pub(super) async fn a_broker_is_told_each_gateways_newest_good_token(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let revoked = GatewayToken {
        revoked_at: Some(at(1)),
        ..token(3, "g2")
    };
    let expired = GatewayToken {
        expires_at: Some(at(5)),
        ..token(4, "g3")
    };
    let tokens = [
        token(1, "g2"),
        token(2, "g1"),
        revoked,
        expired,
        token(5, "g1"),
    ];
    tx.insert_gateway_tokens(&tokens).await.unwrap();
    let login = |n: u128, gateway_id: &str| BrokerLogin {
        gateway_id: gateway_id.into(),
        hash: format!("hash {n}"),
        mosquitto_hash: format!("$7${n}"),
    };
    let logins = tx.broker_logins("", at(5), 10).await.unwrap();
    assert_eq!(logins, [login(5, "g1"), login(1, "g2")]);
    let logins = tx.broker_logins("g1", at(4), 1).await.unwrap();
    assert_eq!(logins, [login(1, "g2")]);
    let logins = tx.broker_logins("g2", at(4), 10).await.unwrap();
    assert_eq!(logins, [login(4, "g3")]);
}

pub(super) async fn who_gives_a_gateway_a_token_is_alone(f: Fixture) {
    if f.db.is_embedded() {
        // Its one writer is alone by itself.
        let _first = f.db.begin().await.unwrap();
        assert!(timeout(WAITS, f.db.begin()).await.is_err());
        return;
    }
    let mut first = f.db.begin().await.unwrap();
    first.lock_gateway_tokens("g1").await.unwrap();
    let mut others = f.db.begin().await.unwrap();
    others.lock_gateway_tokens("g2").await.unwrap();
    let mut same = f.db.begin().await.unwrap();
    let waits = timeout(WAITS, same.lock_gateway_tokens("g1")).await;
    assert!(waits.is_err(), "two hold the tokens of one gateway");
    let mut all = f.db.begin().await.unwrap();
    let waits = timeout(WAITS, all.lock_all_gateway_tokens()).await;
    assert!(waits.is_err(), "two hold the tokens of one gateway");
    drop((same, all));
    first
        .insert_gateway_tokens(&[token(1, "g1")])
        .await
        .unwrap();
    first.commit().await.unwrap();
    drop(others);
    let mut all = f.db.begin().await.unwrap();
    all.lock_all_gateway_tokens().await.unwrap();
    let mut one = f.db.begin().await.unwrap();
    let waits = timeout(WAITS, one.lock_gateway_tokens("g2")).await;
    assert!(waits.is_err(), "two hold the tokens of one gateway");
    drop(one);
    all.insert_gateway_tokens(&[token(2, "g2")]).await.unwrap();
    all.commit().await.unwrap();
    let mut next = f.db.begin().await.unwrap();
    let seen = next.lock_gateway_tokens("g2").await.unwrap();
    assert_eq!(seen, [token(2, "g2")]);
}

pub(super) async fn a_provisioning_key_comes_back_and_counts(f: Fixture) {
    let key = |n: u128, name: &str| ProvisioningKey {
        key_id: id(n),
        name: name.into(),
        hash: format!("hash {n}"),
        device_type: Some("esp32".into()),
        claims_max: Some(5),
        claims: 0,
        created_by: "admin".into(),
        created_at: at(0),
        expires_at: Some(at(100)),
        revoked_at: None,
    };
    let mut tx = f.db.begin().await.unwrap();
    let mut first = key(1, "line");
    tx.insert_provisioning_key(&first).await.unwrap();
    assert!(tx.has_provisioning_key("hash 1").await.unwrap());
    assert!(!tx.has_provisioning_key("hash 2").await.unwrap());
    let found = tx.lock_provisioning_key_by_hash("hash 1").await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    first.claims = 3;
    first.revoked_at = Some(at(9));
    tx.update_provisioning_key(&first).await.unwrap();
    let found = tx.lock_provisioning_key(id(1)).await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    // Revoked, it leaves its name to another.
    let second = key(2, "line");
    tx.insert_provisioning_key(&second).await.unwrap();
    let keys = tx.provisioning_keys(Uuid::max(), 10).await.unwrap();
    assert_eq!(keys, [second, first.clone()]);
    assert_eq!(tx.provisioning_keys(id(2), 10).await.unwrap(), [first]);
    let taken = tx.insert_provisioning_key(&key(3, "line")).await;
    assert!(matches!(taken, Err(Error::Duplicate)), "{taken:?}");
}
