//! Ends the sessions of those whose credentials have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rmqtt::context::ServerContext;
use tokio::time::sleep;

use super::access::{Admitted, OnLook};
use super::gate::Limits;

/// Milliseconds between two looks.
const LOOK_MS: u64 = 1_000;
/// Seconds that each look reaches back beyond the one before: a client may have been let in by what
/// was remembered of its credential, and clocks of servers differ.
const OVERLAP: Duration = Duration::from_secs(60);

/// Runs for ever.
pub(super) async fn run(context: ServerContext, on_look: OnLook, limits: Arc<Limits>) {
    let mut looked = Instant::now();
    let mut tidied = Instant::now();
    loop {
        sleep(Duration::from_millis(LOOK_MS)).await;
        let began = Instant::now();
        let Some(ended) = on_look(looked.elapsed() + OVERLAP).await else {
            continue;
        };
        looked = began;
        if tidied.elapsed() > OVERLAP {
            limits.tidy();
            tidied = began;
        }
        let opened = ended.closed && limits.opened.load(Ordering::Relaxed);
        if !opened && ended.tokens.is_empty() && ended.gateways.is_empty() {
            continue;
        }
        let entries: Vec<_> = context.extends.shared().await.iter().collect();
        let out = entries.into_iter().filter(|entry| {
            entry
                .session()
                .and_then(|session| Admitted::of(&session))
                .is_some_and(|admitted| admitted.has_ended(&ended))
        });
        let kicked = join_all(out.map(|mut entry| async move {
            let client = entry.id().client_id.clone();
            tracing::info!(%client, "MQTT session ended: its credential is no longer good");
            entry.kick(true, true, true).await.is_ok()
        }))
        .await;
        // One that was being set up while the doors closed is found at the next look.
        if opened && kicked.is_empty() {
            limits.opened.store(false, Ordering::Relaxed);
        }
    }
}
