//! Triggers that come at the same moment are one transaction, and each has an answer of its own.

use airlift::{
    domain::Task,
    service::{Error, TriggerUpgrade, Trouble},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    api_gateway_tokens::admin,
    app::{Setup, TestApp},
};

async fn on_each_database() -> Vec<TestApp> {
    let start = |postgres| Setup {
        postgres,
        ..Setup::default()
    };
    vec![start(false).start().await, start(true).start().await]
}

/// All asked before any is answered.
async fn together(app: &TestApp, triggers: &[(&str, &str, bool)]) -> Vec<Result<Task, Error>> {
    let caller = admin();
    let triggers = triggers.iter().map(|(gateway_id, version, forced)| {
        let upgrade = TriggerUpgrade {
            version: Some((*version).to_owned()),
            force_upgrade: *forced,
            scheduled_at: None,
        };
        app.service().trigger_upgrade(&caller, gateway_id, upgrade)
    });
    join_all(triggers).await
}

fn trouble(answer: &Result<Task, Error>) -> Trouble {
    answer.as_ref().expect_err("it is refused").trouble()
}

#[tokio::test]
async fn each_of_many_triggers_has_the_answer_it_would_have_alone() {
    for app in on_each_database().await {
        app.released("1.0.2").await;
        app.released("1.0.3").await;
        let old = app.trigger("busy", "1.0.2").await.data();
        let answers = together(
            &app,
            &[
                ("z", "1.0.2", false),
                ("a", "9.9.9", false),
                ("busy", "1.0.3", false),
                ("twice", "1.0.2", false),
                ("busy", "1.0.3", true),
                ("twice", "1.0.2", false),
                ("twice", "1.0.3", false),
                ("b", "9.9.9", false),
                ("b", "1.0.3", false),
            ],
        )
        .await;
        let task = |number: usize| answers[number].as_ref().unwrap();
        assert_eq!(
            (task(0).gateway_id.as_str(), task(0).to_version.as_str()),
            ("z", "1.0.2")
        );
        assert_eq!(
            trouble(&answers[1]),
            Trouble::NotFound("firmware_not_found")
        );
        assert_eq!(
            trouble(&answers[2]),
            Trouble::Conflict("upgrade_in_progress")
        );
        assert_eq!(task(4).to_version, "1.0.3");
        assert_eq!(task(3).task_id, task(5).task_id);
        assert_eq!(
            trouble(&answers[6]),
            Trouble::Conflict("upgrade_in_progress")
        );
        assert_eq!(
            trouble(&answers[7]),
            Trouble::NotFound("firmware_not_found")
        );
        assert_eq!(task(8).to_version, "1.0.3");

        let tasks = app.get("/api/ota/tasks?gatewayId=busy").await.data();
        assert_eq!(tasks["items"][1]["taskId"], old["taskId"]);
        assert_eq!(tasks["items"][1]["status"], "cancelled");
        // Nobody but a refused trigger has named it.
        app.get("/api/ota/gateways/a")
            .await
            .refused(404, "gateway_not_found");
        for gateway in ["z", "twice", "b"] {
            let events = app.gateway_events(gateway).await;
            assert_eq!(events.len(), 1, "{gateway}: {events:?}");
            assert_eq!(events[0]["change"], json!(["registered"]));
        }
        let audit = app
            .get("/api/ota/audit?action=upgrade.trigger")
            .await
            .data();
        let audited = audit["items"].as_array().unwrap().len();
        assert_eq!(audited, 5, "busy twice, z, twice and b: {audit}");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_trigger_that_cannot_be_stored_keeps_no_other_out() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    // PostgreSQL takes no NUL in a text.
    let answers = together(
        &app,
        &[
            ("a", "1.0.2", false),
            ("b", "1.0.2\0", false),
            ("c", "1.0.2", false),
        ],
    )
    .await;
    assert_eq!(trouble(&answers[1]), Trouble::Internal);
    for gateway in ["a", "c"] {
        assert_eq!(app.task(gateway).await["toVersion"], "1.0.2");
    }
    app.get("/api/ota/gateways/b")
        .await
        .refused(404, "gateway_not_found");
    app.stop().await;
}
