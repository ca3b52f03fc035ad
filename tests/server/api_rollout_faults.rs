//! `/api/ota/rollouts` when something comes between: what must not go out, what must not be counted,
//! who must not be held up.

use airlift::domain::{Rollout, RolloutPlan, RolloutState, RolloutTarget};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::TestApp,
    crowd::{Fate, create, ids, is, play, run},
};

async fn act(app: &TestApp, id: &str, action: &str) -> Value {
    let path = format!("/api/ota/rollouts/{id}/{action}");
    app.post(&path).await.data()
}

/// A rollout whose target this version can't read: an older one has stored it, say.
fn unreadable(app: &TestApp) -> Rollout {
    let now = app.clock.now() - TimeDelta::hours(1);
    Rollout {
        rollout_id: Uuid::from_u128(1),
        name: "unreadable".into(),
        device_type: "gateway".into(),
        version: "1.0.2".into(),
        target: RolloutTarget {
            filter: Some("colour:red".into()),
            ..Default::default()
        },
        plan: RolloutPlan::default(),
        seed: 7,
        state: RolloutState::Scheduled,
        reason: None,
        enrolled_to: None,
        enrolled: false,
        wave: 0,
        paced_at: None,
        next_look_at: Some(now),
        next_join_at: None,
        started_at: None,
        ended_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[tokio::test]
async fn a_rollout_that_cannot_go_on_holds_up_no_other_and_can_be_cancelled() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 3), "1.0.1").await;
    let broken = unreadable(&app);
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.insert_rollout(&broken).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 3, "{ended}");
    let broken = broken.rollout_id.to_string();
    assert_eq!(act(&app, &broken, "cancel").await["state"], "cancelled");
    app.stop().await;
}
