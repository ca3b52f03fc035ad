//! Credentials.

use std::collections::BTreeSet;

use super::*;

/// When a token was revoked and when it expires, in seconds.
type Ends = (Option<i64>, Option<i64>);

fn text(second: Option<i64>) -> String {
    second.map_or("NULL".to_owned(), |second| {
        format!("'{}'", at(second).to_rfc3339())
    })
}

async fn execute(db: &Db, sql: &str) {
    match db {
        Db::Postgres(pool) => {
            let sql = sqlx::AssertSqlSafe(sql);
            sqlx::raw_sql(sql).execute(pool).await.unwrap();
        }
        Db::Sqlite { writer, .. } => {
            let sql = sqlx::AssertSqlSafe(sql);
            sqlx::raw_sql(sql).execute(writer).await.unwrap();
        }
    }
}

pub(super) async fn tokens_that_ended_lately_are_told(f: Fixture) {
    let ends: [Ends; 7] = [
        (None, None),
        (Some(50), None),
        (Some(150), None),
        (None, Some(50)),
        (None, Some(150)),
        (None, Some(250)),
        (Some(150), Some(250)),
    ];
    for (n, (revoked, expires)) in ends.into_iter().enumerate() {
        let (revoked, expires, begun) = (text(revoked), text(expires), text(Some(0)));
        let id = |n: usize| match &f.db {
            Db::Postgres(_) => format!("'{}'", id(n as u128)),
            Db::Sqlite { .. } => format!("x'{}'", id(n as u128).simple()),
        };
        let (one, other) = (id(2 * n), id(2 * n + 1));
        let sql = format!(
            "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at, expires_at,
                 revoked_at) VALUES ({one}, 't{n}', 'viewer', 't{n}', 'test', {begun}, {expires},
                 {revoked});
             INSERT INTO gateway_tokens (token_id, gateway_id, hash, mosquitto_hash, created_by,
                 created_at, expires_at, revoked_at) VALUES ({other}, 'g', 'g{n}', '', 'test',
                 {begun}, {expires}, {revoked})"
        );
        execute(&f.db, &sql).await;
    }
    let mut tx = f.db.begin().await.unwrap();
    let ended: BTreeSet<_> = tx
        .tokens_ended(at(100), at(200))
        .await
        .unwrap()
        .into_iter()
        .collect();
    let expected = [2, 4, 6].into_iter().flat_map(|n| {
        [
            (format!("t{n}"), None),
            (format!("g{n}"), Some("g".to_owned())),
        ]
    });
    assert_eq!(ended, expected.collect());
}
