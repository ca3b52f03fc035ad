//! How much a batch of reports, or a question, asks of the database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
};

use airlift::{
    config::Options,
    service::{InboundMessage, TriggerUpgrade},
};
use airlift_testkit::{Mosquitto, MosquittoOptions};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tracing::Instrument;
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{api_gateway_tokens::admin, app::Setup, crowd, gateway::progress_report};

/// Reports in a batch.
const REPORTS: usize = 20;
/// The first of them also take commands out of the outbox.
const BATCHES: usize = 5;
/// Statements for a batch's gateways, their tasks and what they sent, however many these are.
const STATEMENTS_PER_BATCH_MAX: usize = 13;

/// Statements of the answer to why, without rollouts, and for each of these.
const STATEMENTS_PER_WHY_MAX: usize = 10;
const STATEMENTS_PER_ROLLOUT_MAX: usize = 2;

/// Statements of jobs that run even in the least of several batches.
const JOBS_STATEMENTS_MAX: usize = 5;
/// Statements of a trigger, and of as many as come together.
const STATEMENTS_PER_TRIGGERS_MAX: usize = 13;
/// Triggers that come together.
const TRIGGERS: usize = 64;

/// The span whose statements are counted apart from those of jobs.
const SPAN: &str = "counted";

/// Counts the statements that sqlx logs on the thread that made it.
#[derive(Clone)]
struct Statements {
    thread: ThreadId,
    count: Arc<AtomicUsize>,
    /// Those within [`SPAN`].
    within: Arc<AtomicUsize>,
}

impl Statements {
    /// The process's one subscriber: one for a thread alone is not asked by log lines that another
    /// thread reached first.
    fn counted_here() -> Statements {
        let statements = Statements {
            thread: thread::current().id(),
            count: Arc::default(),
            within: Arc::default(),
        };
        let subscriber = tracing_subscriber::registry().with(statements.clone());
        tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
        statements
    }

    fn so_far(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// How many statements `work` itself makes, whatever jobs do meanwhile.
    async fn of<T>(&self, work: impl Future<Output = T>) -> usize {
        let before = self.within.load(Ordering::SeqCst);
        work.instrument(tracing::info_span!(SPAN)).await;
        self.within.load(Ordering::SeqCst) - before
    }
}

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let here = thread::current().id() == self.thread;
        if here && event.metadata().target() == "sqlx::query" {
            self.count.fetch_add(1, Ordering::SeqCst);
            let mut spans = context.event_scope(event).into_iter().flatten();
            if spans.any(|span| span.name() == SPAN) {
                self.within.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

// One thread, where the counter is; PostgreSQL, whose driver logs on it.
#[tokio::test]
async fn a_batch_of_one_gateways_reports_writes_gateway_and_task_once() {
    let statements = Statements::counted_here();
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        postgres: true,
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    let count = async |report: &dyn Fn(usize) -> Value| {
        let mut least = usize::MAX;
        for number in 0..BATCHES {
            let batch: Vec<InboundMessage> = (number * REPORTS..(number + 1) * REPORTS)
                .map(|n| InboundMessage {
                    topic: "hanqi/gateway/g/report".to_owned(),
                    payload: report(n).to_string().into(),
                    late: false,
                })
                .collect();
            let recorded = statements
                .of(async { app.service().record_messages(&batch).await.unwrap() })
                .await;
            least = least.min(recorded);
        }
        least
    };
    let heartbeats = count(
        &|n| json!({ "msgType": "heartbeat", "data": { "firmwareVersion": format!("1.0.{n}") } }),
    )
    .await;
    assert!(heartbeats > 0, "the counter counts nothing");
    assert!(
        heartbeats <= STATEMENTS_PER_BATCH_MAX,
        "{heartbeats} statements"
    );
    assert_eq!(app.gateway("g").await["currentVersion"], "1.0.99");

    // Each distinct report is kept, all by one statement.
    let progress =
        count(&|n| progress_report(&task["msgId"], "downloading", i64::try_from(n).unwrap())).await;
    assert!(
        progress <= STATEMENTS_PER_BATCH_MAX,
        "{progress} statements"
    );
    println!("statements: {heartbeats} for heartbeats, {progress} for progress");
    assert_eq!(app.task("g").await["progress"], 99);
    app.stop().await;
}

#[tokio::test]
async fn a_batch_asks_no_more_for_more_gateways() {
    let statements = Statements::counted_here();
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        postgres: true,
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let ids = crowd::ids("g", 50);
    for id in &ids {
        app.trigger(id, "1.0.2").await;
    }
    let mut progress = 0;
    let mut count = async |gateways: usize| {
        let mut least = usize::MAX;
        for _ in 0..BATCHES {
            progress += 1;
            let heartbeat = json!({ "msgType": "heartbeat", "data": { "firmwareVersion": format!("1.0.{progress}-x") } });
            let batch: Vec<InboundMessage> = ids[..gateways]
                .iter()
                .flat_map(|id| {
                    let report = progress_report(&Value::Null, "downloading", progress);
                    [report, heartbeat.clone()].map(|said| InboundMessage {
                        topic: format!("hanqi/gateway/{id}/report"),
                        payload: said.to_string().into(),
                        late: false,
                    })
                })
                .collect();
            let recorded = statements
                .of(async { app.service().record_messages(&batch).await.unwrap() })
                .await;
            least = least.min(recorded);
        }
        least
    };
    let (of_one, of_all) = (count(1).await, count(50).await);
    println!("statements: {of_one} for one gateway, {of_all} for 50");
    assert!(of_one > 0, "the counter counts nothing");
    assert!(of_all <= STATEMENTS_PER_BATCH_MAX, "{of_all} statements");
    assert_eq!(of_all, of_one);
    assert_eq!(app.task("g049").await["progress"], progress);
    app.stop().await;
}

#[tokio::test]
async fn heartbeats_of_many_gateways_are_kept_by_one_statement() {
    let statements = Statements::counted_here();
    let mut counts = Vec::new();
    for heartbeat_interval_seconds in [Some(0), None] {
        let setup = Setup {
            postgres: true,
            options: Options {
                heartbeat_interval_seconds,
                ..Options::default()
            },
            ..Setup::default()
        };
        let app = setup.start().await;
        let ids = crowd::ids("g", 50);
        let mut least = usize::MAX;
        for _ in 0..BATCHES {
            least = least.min(statements.of(crowd::run(&app, &ids, "1.0.1")).await);
        }
        counts.push(least);
        let path = "/api/ota/gateways/g049/heartbeats";
        let kept = app.get(path).await.data()["items"].clone();
        let is_empty = kept.as_array().unwrap().is_empty();
        assert_eq!(is_empty, heartbeat_interval_seconds == Some(0));
        app.stop().await;
    }
    println!("statements without and with heartbeats kept: {counts:?}");
    assert_eq!(counts[1], counts[0] + 1);
}

#[tokio::test]
async fn the_file_of_a_release_is_looked_up_once_however_many_download_it() {
    let statements = Statements::counted_here();
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    app.upload("1.0.2", b"a draft").await.data();
    app.released("1.0.3").await;
    let asked = async |path: &str| {
        let mut least = usize::MAX;
        for _ in 0..10 {
            let before = statements.so_far();
            assert_eq!(app.get(path).await.status, 200);
            least = least.min(statements.so_far() - before);
        }
        least
    };
    let of_a_draft = asked("/firmware/gateway_v1.0.2.bin").await;
    assert!(of_a_draft > 0, "the counter counts nothing");
    assert_eq!(asked("/firmware/gateway_v1.0.3.bin").await, 0);
    app.stop().await;
}

#[tokio::test]
async fn polls_that_wait_at_once_are_answered_by_one_statement() {
    let statements = Statements::counted_here();
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let ids = crowd::ids("g", 20);
    for id in &ids {
        app.trigger(id, "1.0.2").await.data();
    }
    // Of the same gateway, too, and of one without a task.
    let asked = [ids.clone(), ids[..5].to_vec(), vec!["unknown".to_owned()]].concat();
    let mut least = [usize::MAX; 2];
    for _ in 0..10 {
        let before = statements.so_far();
        assert_eq!(
            app.service().newest_task("g007").await.unwrap().gateway_id,
            "g007"
        );
        least[0] = least[0].min(statements.so_far() - before);

        let before = statements.so_far();
        let polls = asked.iter().map(|id| app.service().newest_task(id));
        let answers = join_all(polls).await;
        least[1] = least[1].min(statements.so_far() - before);
        for (id, answer) in asked.iter().zip(answers) {
            let gateway_id = answer.map(|task| task.gateway_id).ok();
            assert_eq!(gateway_id.as_ref(), Some(id).filter(|id| *id != "unknown"));
        }
    }
    assert_eq!(least, [1, 1]);
    app.stop().await;
}

#[tokio::test]
async fn the_statistics_of_gateways_ask_no_more_for_more_of_them() {
    let statements = Statements::counted_here();
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    let asked = async || {
        let mut least = usize::MAX;
        for _ in 0..10 {
            let before = statements.so_far();
            app.get("/api/ota/statistics/gateways").await.data();
            least = least.min(statements.so_far() - before);
        }
        least
    };
    let without_gateways = asked().await;
    assert!(without_gateways > 0, "the counter counts nothing");
    let types = (0..20).map(|n| {
        let heartbeat = json!({
            "msgType": "heartbeat",
            "data": { "firmwareVersion": format!("1.0.{n}"), "deviceType": format!("type{n}") },
        });
        (format!("g{n}"), heartbeat)
    });
    crowd::say(&app, types.collect()).await;
    assert_eq!(asked().await, without_gateways);
    app.stop().await;
}

#[tokio::test]
async fn the_answer_to_why_asks_for_each_rollout_and_for_no_other_gateway() {
    let statements = Statements::counted_here();
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let ids = crowd::ids("g", 50);
    crowd::run(&app, &ids, "1.0.1").await;
    // Nothing is under way, so jobs ask little; what they ask is not in the least of several.
    let asked = async || {
        let mut least = usize::MAX;
        for _ in 0..10 {
            let before = statements.so_far();
            app.service().why("g007").await.unwrap();
            least = least.min(statements.so_far() - before);
        }
        least
    };
    let mut counts = vec![asked().await];
    assert!(counts[0] > 0, "the counter counts nothing");
    for rollouts in 1..=4 {
        let request = json!({ "version": "1.0.2", "startAt": "2100-01-01T00:00:00Z" });
        crowd::create(&app, request).await;
        let count = asked().await;
        let most = STATEMENTS_PER_WHY_MAX + rollouts * STATEMENTS_PER_ROLLOUT_MAX;
        assert!(count <= most, "{count} statements with {rollouts} rollouts");
        counts.push(count);
    }
    println!("statements by number of rollouts: {counts:?}");
    app.stop().await;
}

#[tokio::test]
async fn triggers_that_come_together_take_the_statements_of_one() {
    let statements = Statements::counted_here();
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        postgres: true,
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let caller = admin();
    let asked = async |triggers: usize| {
        let mut least = usize::MAX;
        for batch in 0..BATCHES {
            let ids = crowd::ids(&format!("new{triggers}-{batch}-"), triggers);
            let before = statements.so_far();
            let asked = ids.iter().map(|id| {
                let upgrade = TriggerUpgrade::default();
                app.service().trigger_upgrade(&caller, id, upgrade)
            });
            for answer in join_all(asked).await {
                answer.unwrap();
            }
            least = least.min(statements.so_far() - before);
        }
        least
    };
    let alone = asked(1).await;
    let together = asked(TRIGGERS).await;
    println!("statements: {alone} for one trigger, {together} for {TRIGGERS}");
    assert!(alone > 0, "the counter counts nothing");
    let most = STATEMENTS_PER_TRIGGERS_MAX + JOBS_STATEMENTS_MAX;
    assert!(alone <= most, "{alone} statements");
    // A job's may be among so few.
    assert!(
        together <= alone + JOBS_STATEMENTS_MAX,
        "{together} statements"
    );
    app.stop().await;
}
