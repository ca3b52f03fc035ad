//! Credentials, put into a server's database, and requests that show them.

use std::time::Duration;

use airlift::store::Db;
use chrono::{DateTime, Utc};
use reqwest::{Client, Method, multipart::Form};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::{Answer, TestApp};

macro_rules! execute {
    ($app:expr, $sql:expr $(, $value:expr)*) => {{
        let db = $app.db().await;
        match &db {
            Db::Postgres(pool) => {
                sqlx::query($sql)$(.bind($value))*.execute(pool).await.map(drop)
            }
            Db::Sqlite { writer, .. } => {
                sqlx::query($sql)$(.bind($value))*.execute(writer).await.map(drop)
            }
        }
        .unwrap();
        db.close().await;
    }};
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

async fn close(app: &TestApp, now: DateTime<Utc>) {
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.close_doors(now).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    app.service().forget_credentials().await.unwrap();
    assert!(app.service().is_closed());
}

/// A token of a person or machine; doors are closed from now on.
pub async fn token(app: &TestApp, role: &str) -> String {
    let token = format!("alt_{role}-{}", Uuid::from_u128(rand::random()));
    let now = app.clock.now();
    execute!(
        app,
        "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at) \
         VALUES ($1, $2, $3, $4, 'test', $5)",
        Uuid::from_u128(rand::random()),
        format!("the {role}"),
        role,
        hash(&token),
        now
    );
    close(app, now).await;
    token
}

/// A gateway's token; doors are closed from now on.
pub async fn gateway_token(app: &TestApp, gateway_id: &str) -> String {
    let token = format!("alg_{}", Uuid::from_u128(rand::random()));
    let now = app.clock.now();
    execute!(
        app,
        "INSERT INTO gateway_tokens (token_id, gateway_id, hash, mosquitto_hash, created_by, \
         created_at) VALUES ($1, $2, $3, '', 'test', $4)",
        Uuid::from_u128(rand::random()),
        gateway_id,
        hash(&token),
        now
    );
    close(app, now).await;
    token
}

/// Takes a gateway's tokens away.
pub async fn revoke_gateway(app: &TestApp, gateway_id: &str) {
    execute!(
        app,
        "UPDATE gateway_tokens SET revoked_at = $2 WHERE gateway_id = $1",
        gateway_id,
        app.clock.now()
    );
    app.service().forget_credentials().await.unwrap();
}

/// A request with a token, if any.
#[derive(Default)]
pub struct Ask<'a> {
    pub token: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    pub json: Option<Value>,
    pub form: Option<Form>,
}

impl Ask<'_> {
    /// `path` may be a whole URL.
    pub async fn send(self, app: &TestApp, method: Method, path: &str) -> Answer {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => app.url(path),
        };
        let client = Client::builder().timeout(Duration::from_secs(30));
        let mut request = client.build().unwrap().request(method, url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        if let Some(json) = self.json {
            request = request.json(&json);
        }
        if let Some(form) = self.form {
            request = request.multipart(form);
        }
        let response = request.send().await.expect("an answer");
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a whole body").to_vec(),
        }
    }
}

/// A GET with a token, if any.
pub async fn get(app: &TestApp, path: &str, token: Option<&str>) -> Answer {
    let ask = Ask {
        token,
        ..Ask::default()
    };
    ask.send(app, Method::GET, path).await
}

/// A POST with a token, if any.
pub async fn post(app: &TestApp, path: &str, token: Option<&str>, json: Value) -> Answer {
    let ask = Ask {
        token,
        json: Some(json),
        ..Ask::default()
    };
    ask.send(app, Method::POST, path).await
}

/// The texts that a query finds.
pub async fn texts(app: &TestApp, query: &'static str) -> Vec<String> {
    let db = app.db().await;
    let rows = match &db {
        Db::Postgres(pool) => sqlx::query_scalar(query).fetch_all(pool).await,
        Db::Sqlite { writer, .. } => sqlx::query_scalar(query).fetch_all(writer).await,
    };
    db.close().await;
    rows.unwrap()
}
