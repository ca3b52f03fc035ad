//! Upgrades by a server whose doors are closed.

use airlift::store::Db;
use airlift_testkit::{Mosquitto, MosquittoOptions, Process, binary};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    gateway::{NEW, OLD, assert_slot_holds, image},
    server::{Api, PATIENCE, Server, eventually},
};

const TOKEN: &str = "alg_of-the-gateway-in-this-test";

/// Gives the gateway its token behind the back of the running server.
async fn close(database_url: &str, gateway_id: &str) {
    let now: DateTime<Utc> = std::time::SystemTime::UNIX_EPOCH.into();
    let db = Db::open(database_url).await.unwrap();
    let Db::Sqlite { writer, .. } = &db else {
        panic!("{database_url}");
    };
    sqlx::query(
        "INSERT INTO gateway_tokens (token_id, gateway_id, hash, mosquitto_hash, created_by, \
         created_at) VALUES ($1, $2, $3, '', 'test', $4)",
    )
    .bind(Uuid::from_u128(1))
    .bind(gateway_id)
    .bind(hex::encode(Sha256::digest(TOKEN)))
    .bind(now)
    .execute(writer)
    .await
    .unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.close_doors(now).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_downloads_from_a_closed_server_by_the_address_in_its_command() {
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database_url = format!("sqlite:{}/closed.db", folder.path().display());
    let args = [
        format!("--mqtt-url={}", broker.url()),
        format!("--database-url={database_url}"),
    ];
    let server = Server::start(folder.path(), &args, &[]);
    let api = Api::new(&[&server.url]);
    let image = image(1_000_003);
    api.release(NEW, &image).await;
    api.trigger("CLOSED", NEW).await;
    close(&database_url, "CLOSED").await;
    let http = reqwest::Client::new();
    let plain = format!("{}/firmware/gateway_v{NEW}.bin", server.url);
    eventually("closed doors", PATIENCE, async || {
        http.get(&plain).send().await.unwrap().status() == 401
    })
    .await;

    let args = [
        "--id=CLOSED".to_owned(),
        format!("--mqtt={}", broker.url()),
        format!("--firmware-version={OLD}"),
        "--reboot-seconds=0".to_owned(),
        "--heartbeat-seconds=1".to_owned(),
        "--exit-after-update".to_owned(),
    ];
    let mut gateway =
        Process::spawn(binary("airlift-gateway").unwrap(), &args, &[], "CLOSED").unwrap();
    let status = gateway.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateway.log());
    assert_slot_holds(&gateway, "CLOSED", &image);
    // Its own task, for which its token is good.
    let path = format!("{}/api/ota/task/CLOSED", server.url);
    eventually("the proof", PATIENCE, async || {
        let task = http.get(&path).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(task.status(), 200);
        let task: serde_json::Value = task.json().await.unwrap();
        task["data"]["confirmedAt"].is_string()
    })
    .await;
    let log = server.process.log();
    assert!(!log.contains("signature="), "{log}");
}
