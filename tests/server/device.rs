//! A Linux device as the server sees it: it reports and asks over HTTP.

use airlift::{
    domain::{Package, Signer},
    store::{BlobRow, Db},
};
use serde_json::{Value, json};

use crate::{
    app::{Answer, TestApp},
    packages::{self, sha256},
};

pub struct Device<'a> {
    app: &'a TestApp,
    pub id: String,
}

impl Device<'_> {
    pub fn new<'a>(app: &'a TestApp, id: &str) -> Device<'a> {
        let id = id.to_owned();
        Device { app, id }
    }

    fn path(&self, what: &str) -> String {
        format!("/api/ota/gateways/{}/{what}", self.id)
    }

    pub async fn report(&self, report: Value) -> Answer {
        self.app.post_json(&self.path("report"), report).await
    }

    /// Its heartbeat, as the agent's.
    pub async fn heartbeat(&self, version: &str) {
        self.report(json!({
            "msgType": "heartbeat", "uuid": self.id,
            "data": {
                "firmwareVersion": version, "deviceType": "linux", "agentVersion": "0.1.0",
                "reportSeconds": 60, "packages": { "app": version }, "rollback": false,
            },
        }))
        .await
        .data();
    }

    pub async fn progress(&self, msg_id: &Value, state: &str, progress: i64) -> Answer {
        self.report(json!({
            "msgType": "ota_progress", "msgId": msg_id,
            "data": { "state": state, "progress": progress },
        }))
        .await
    }

    pub async fn fails(&self, msg_id: &Value, code: &str) {
        self.report(json!({
            "msgType": "ota_progress", "msgId": msg_id,
            "data": {
                "state": "failed", "progress": 98, "errorCode": code,
                "errorMessage": "app 1.2.0: AfterUpdate exited with 1",
            },
        }))
        .await
        .data();
    }

    /// The command that waits, or null.
    pub async fn command(&self) -> Value {
        self.app.get(&self.path("command")).await.data()
    }

    pub async fn begin(&self, update: Value) -> Answer {
        self.app.post_json(&self.path("task"), update).await
    }
}

/// An update of the package `app` on branch `main`, which leads its device.
pub fn update(from: &str, to: &str) -> Value {
    json!({
        "name": "app", "branch": "main", "version": to, "fromVersion": from, "toVersion": to,
        "packages": [{ "name": "app", "fromVersion": from, "toVersion": to }],
    })
}

/// A `content.json` of the package `app` on branch `main`.
fn content(version: &str, file: &str) -> String {
    json!({
        "package": "app", "version": version, "branch": "main", "sha256": sha256(file.as_bytes()),
        "description": "what it is", "changelog": "# what is new",
    })
    .to_string()
}

/// Pushes a version of it, whose file is `package <version>`; what became of it.
pub async fn push(app: &TestApp, version: &str) -> Value {
    let file = format!("package {version}");
    let answer = packages::push(app, &content(version, &file), file.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Puts a version of it into the database without its file, signed by this key: as it would be if
/// it had been pushed when the server trusted others.
pub async fn insert(app: &TestApp, version: &str, signer: Option<&str>) -> Package {
    let file = format!("package {version}");
    let sha256 = sha256(file.as_bytes());
    let now = app.clock.now();
    let package = Package {
        package_id: app.clock.new_id(),
        name: "app".into(),
        branch: "main".into(),
        version: version.into(),
        content: content(version, &file),
        file_size: file.len() as i64,
        md5: "0".repeat(32),
        sha256,
        signature: signer.map(|_| "-----BEGIN PGP SIGNATURE-----".to_owned()),
        signed_by: signer.map(|fingerprint| Signer {
            name: "release".into(),
            fingerprint: fingerprint.into(),
        }),
        withdrawn_at: None,
        created_at: now,
        updated_at: now,
    };
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.put_blob(&BlobRow {
        sha256: package.sha256.clone(),
        md5: package.md5.clone(),
        size: package.file_size,
        created_at: now,
    })
    .await
    .unwrap();
    tx.insert_package(&package, version).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    package
}

/// Withdraws that version.
pub async fn withdraw(app: &TestApp, version: &str) {
    let db = app.db().await;
    let sql = "UPDATE packages SET withdrawn_at = created_at WHERE version = $1";
    match &db {
        Db::Postgres(pool) => {
            let withdrawn = sqlx::query(sql).bind(version).execute(pool).await;
            withdrawn.unwrap();
        }
        Db::Sqlite { writer, .. } => {
            let withdrawn = sqlx::query(sql).bind(version).execute(writer).await;
            withdrawn.unwrap();
        }
    }
    db.close().await;
}

pub async fn release(app: &TestApp, version: &str) -> Answer {
    let path = format!("/api/ota/packages/app/{version}/release?branch=main");
    app.post(&path).await
}
