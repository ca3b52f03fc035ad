//! Failed logins make the next ones wait.

use std::net::IpAddr;

use airlift::{
    domain::{Actor, Caller},
    service::Trouble,
};
use chrono::TimeDelta;
use futures_util::future::join_all;

use crate::{
    api_access_tokens::token,
    api_access_users::{PASSWORD, audited, log_in, user},
    app::{Setup, TestApp},
};

/// When a login may be tried again, in seconds.
async fn wait(app: &TestApp, name: &str) -> u64 {
    let answer = log_in(app, name, PASSWORD).await;
    answer.refused(429, "too_many_log_ins");
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn after_five_failures_an_account_waits_longer_and_longer_whether_it_exists_or_not() {
    let app = Setup::manual_clock().start().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    for name in ["ann", "nobody"] {
        for _ in 0..5 {
            log_in(&app, name, "wrong")
                .await
                .refused(401, "log_in_failed");
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(wait(&app, name).await, seconds, "{name}");
            app.clock
                .advance(TimeDelta::seconds(i64::try_from(seconds).unwrap() - 1));
            assert_eq!(wait(&app, name).await, 1, "{name}");
            app.clock.advance(TimeDelta::seconds(1));
            log_in(&app, name, "wrong")
                .await
                .refused(401, "log_in_failed");
        }
    }
    app.clock.advance(TimeDelta::minutes(15));
    log_in(&app, "ann", PASSWORD).await.data();
    for _ in 0..5 {
        log_in(&app, "ann", "wrong")
            .await
            .refused(401, "log_in_failed");
    }
    assert_eq!(wait(&app, "ann").await, 1, "a success has begun anew");
    app.clock.advance(TimeDelta::days(2));
    assert_eq!(
        app.service().sweep_sessions().await.unwrap(),
        3,
        "two accounts, a session"
    );
    log_in(&app, "nobody", "wrong")
        .await
        .refused(401, "log_in_failed");
    let failed = audited(&app).await;
    let failed = failed.iter().filter(|it| it.2 == "session.log_in_failed");
    assert_eq!(
        failed.count(),
        17 + 17 + 5 + 1,
        "who has to wait is not tried"
    );
    app.stop().await;
}

#[tokio::test]
async fn an_address_waits_after_twenty_failures_whatever_the_names() {
    let app = Setup::manual_clock().start().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    let from = async |address: &str, name: &str, password: &str| {
        let caller = Caller {
            actor: Actor::Nobody,
            address: Some(address.parse::<IpAddr>().unwrap()),
        };
        let login = app.service().log_in(&caller, name, password.to_owned());
        match login.await {
            Ok(_) => "in".to_owned(),
            Err(error) => match error.trouble() {
                Trouble::Unauthenticated(code) => code.to_owned(),
                Trouble::TooMany {
                    retry_after_seconds,
                    ..
                } => format!("wait {retry_after_seconds}"),
                trouble => panic!("{trouble:?}"),
            },
        }
    };
    for n in 0..19 {
        // Whoever has an IPv6 address has many.
        let address = format!("2001:db8::{n:x}");
        let name = format!("guess{n}");
        assert_eq!(from(&address, &name, "wrong").await, "log_in_failed");
        assert_eq!(from("198.51.100.7", &name, "wrong").await, "log_in_failed");
        // Who logs in rightly in between does not help the others behind the address.
        assert_eq!(from("198.51.100.7", "ann", PASSWORD).await, "in");
    }
    for address in ["2001:db8::ffff", "198.51.100.7"] {
        assert_eq!(from(address, "guess", "wrong").await, "log_in_failed");
        assert_eq!(from(address, "ann", PASSWORD).await, "wait 1");
    }
    for _ in 0..21 {
        assert_eq!(from("127.0.0.1", "ann", PASSWORD).await, "in", "a proxy's");
    }
    assert_eq!(from("2001:db8:0:1::1", "ann", PASSWORD).await, "in");
    assert_eq!(from("198.51.100.8", "ann", PASSWORD).await, "in");
    app.stop().await;
}

#[tokio::test]
async fn many_at_once_are_no_way_around_the_wait() {
    let app = Setup::manual_clock().start().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    let answers = join_all((0..40).map(|_| log_in(&app, "ann", "wrong"))).await;
    let refused = answers.iter().filter(|it| it.status == 401).count();
    let waiting = answers.iter().filter(|it| it.status == 429).count();
    assert_eq!((refused, waiting), (5, 35));
    app.stop().await;
}
