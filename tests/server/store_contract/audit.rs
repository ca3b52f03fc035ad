//! Who did what: added to, read, and never changed.

use airlift::{
    domain::{Actor, Caller, Role},
    store::{AuditFilter, AuditLine},
};

use super::*;

fn everything() -> AuditFilter {
    AuditFilter {
        action: None,
        subject: None,
        actor: None,
        since: None,
        until: None,
        before: i64::MAX,
        limit: 100,
    }
}

async fn subjects(f: &Fixture, filter: AuditFilter) -> Vec<String> {
    let mut tx = f.db.read().await.unwrap();
    let lines = tx.audit_lines(&filter).await.unwrap();
    lines.into_iter().map(|line| line.subject).collect()
}

fn caller(actor: Actor) -> Caller {
    let address = Some("2001:db8::7".parse().unwrap());
    Caller { actor, address }
}

fn ci() -> Actor {
    Actor::Token {
        token_id: id(7),
        name: "ci".into(),
        role: Role::Publisher,
    }
}

async fn put_lines(f: &Fixture) {
    let nobody = caller(Actor::Nobody);
    let mut tx = f.db.begin().await.unwrap();
    for (caller, action, subject, second) in [
        (caller(ci()), "firmware.upload", "gateway/1.0.2", 1),
        (caller(ci()), "firmware.release", "gateway/1.0.2", 2),
        (nobody, "access.refused", "POST /update", 3),
    ] {
        let entry = caller.did(action, subject, json!({ "n": second }), at(second));
        tx.audit(&entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

pub async fn the_audit_log_comes_back_newest_first_and_by_filter(f: Fixture) {
    put_lines(&f).await;
    let mut tx = f.db.read().await.unwrap();
    let lines = tx.audit_lines(&everything()).await.unwrap();
    drop(tx);
    let released = AuditLine {
        audit_id: lines[1].audit_id,
        actor_kind: "token".into(),
        actor_id: Some(id(7).to_string()),
        actor_name: Some("ci".into()),
        address: Some("2001:db8::7".into()),
        action: "firmware.release".into(),
        subject: "gateway/1.0.2".into(),
        detail: json!({ "n": 2 }),
        created_at: at(2),
    };
    assert_eq!(lines[1], released);
    assert!(lines[0].audit_id > lines[1].audit_id && lines[1].audit_id > lines[2].audit_id);
    let [refused, release, upload] = ["POST /update", "gateway/1.0.2", "gateway/1.0.2"];
    for (filter, expected) in [
        (everything(), vec![refused, release, upload]),
        (
            AuditFilter {
                limit: 1,
                ..everything()
            },
            vec![refused],
        ),
        (
            AuditFilter {
                before: lines[1].audit_id,
                ..everything()
            },
            vec![upload],
        ),
        (
            AuditFilter {
                action: Some("firmware.upload".into()),
                ..everything()
            },
            vec![upload],
        ),
        (
            AuditFilter {
                subject: Some("gateway/1.0.2".into()),
                ..everything()
            },
            vec![release, upload],
        ),
        (
            AuditFilter {
                actor: Some("ci".into()),
                ..everything()
            },
            vec![release, upload],
        ),
        (
            AuditFilter {
                actor: Some("nobody".into()),
                ..everything()
            },
            vec![refused],
        ),
        (
            AuditFilter {
                since: Some(at(2)),
                until: Some(at(3)),
                ..everything()
            },
            vec![release],
        ),
    ] {
        let asked = format!("{filter:?}");
        assert_eq!(subjects(&f, filter).await, expected, "{asked}");
    }
}

pub async fn nobody_changes_the_audit_log(f: Fixture) {
    put_lines(&f).await;
    let before = subjects(&f, everything()).await;
    let attempts: &[&str] = match &f.db {
        Db::Postgres(_) => &[
            "UPDATE audit SET subject = 'x'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "TRUNCATE audit CASCADE",
        ],
        Db::Sqlite { .. } => &[
            "UPDATE audit SET subject = 'x'",
            "DELETE FROM audit",
            "INSERT OR REPLACE INTO audit SELECT audit_id, actor_kind, actor_id, actor_name, \
             address, action, 'x', detail, created_at FROM audit",
        ],
    };
    for attempt in attempts {
        let sql = sqlx::AssertSqlSafe(*attempt);
        let refused = match &f.db {
            Db::Postgres(pool) => sqlx::query(sql).execute(pool).await.map(drop),
            Db::Sqlite { writer, .. } => sqlx::query(sql).execute(writer).await.map(drop),
        };
        let error = refused.expect_err(attempt).to_string();
        assert!(error.contains("the audit log is append-only"), "{error}");
        assert_eq!(subjects(&f, everything()).await, before, "{attempt}");
    }
}
