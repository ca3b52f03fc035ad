//! Sessions without a connection hold no socket.
//!
//! rmqtt keeps the socket of a closed connection, with its buffers, for as long as the session is kept: a
//! gateway that was here once would take an open file for days. So a session whose client stays away goes
//! on in a task of its own, as rmqtt does with sessions that it reads from a disk, and the old one ends.

use std::time::Duration;

use rmqtt::context::ServerContext;
use rmqtt::session::{Session, SessionState};
use rmqtt::types::{self as mqtt, ConnectInfo};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Who is back by then has its socket exchanged anyhow.
const PAUSE: Duration = Duration::from_secs(1);
/// The old task answers at once, unless it is just storing a last will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Among a session's reasons: its will was seen to.
const MOVED: mqtt::Reason = mqtt::Reason::SubscribeRefused;

/// Called when a client has gone, and its will has been seen to.
pub(super) async fn let_socket_go(context: ServerContext, session: Session) {
    sleep(PAUSE).await;
    if let Err(error) = move_session(&context, &session).await {
        tracing::debug!(client = %session.id.client_id, %error, "an offline session keeps its socket");
    }
}

async fn move_session(context: &ServerContext, session: &Session) -> rmqtt::Result<()> {
    let Some(left) = kept_for(session).await?.checked_sub(PAUSE) else {
        return Ok(());
    };
    let entry = context.extends.shared().await.entry(session.id.clone());
    // Whoever has the lock takes the session over.
    let Ok(mut entry) = entry.try_lock().await else {
        return Ok(());
    };
    if entry.id_same() != Some(true) {
        return Ok(());
    }
    let Some(old) = entry.tx() else {
        return Ok(());
    };
    session.disconnected_reason_add(MOVED).await?;
    let new = SessionState::offline_restart(session.clone(), left).await?;
    entry.set(session.clone(), new).await?;
    // The old task first takes what was sent to it: both have one queue.
    let (sender, ended) = oneshot::channel();
    old.unbounded_send(mqtt::Message::Kick(
        sender,
        session.id.clone(),
        false,
        false,
    ))?;
    timeout(ANSWER_TIMEOUT, ended).await??;
    Ok(())
}

/// How long a session outlives its connection; zero where it does not, or where its will is still to come.
async fn kept_for(session: &Session) -> rmqtt::Result<Duration> {
    let client = session.connect_info().await?;
    let will_waits = client
        .last_will()
        .is_some_and(|will| will.will_delay_interval().is_some());
    let ends = matches!(client.as_ref(), ConnectInfo::V3(_, connect) if connect.clean_session);
    if will_waits || ends {
        return Ok(Duration::ZERO);
    }
    let disconnect = session.disconnect().await?;
    Ok(session.fitter.session_expiry_interval(disconnect.as_ref()))
}

/// Whether a will that comes now was seen to when the connection ended.
pub(super) fn was_moved(reasons: &[mqtt::Reason]) -> bool {
    reasons
        .iter()
        .any(|reason| matches!(reason, mqtt::Reason::SubscribeRefused))
}
