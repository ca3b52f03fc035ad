//! Gateways' messages → service. Messages are gathered into batches, each batch is stored in one
//! transaction, and only then acknowledged to the broker: what dies in between is sent again.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    mqtt::Incoming,
    service::{InboundMessage, Service, Trouble},
};

/// Messages stored per transaction.
const BATCH_MAX: usize = 256;
/// Wait before a batch is tried again that could not be stored.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Takes in messages until `shutdown`; what is not stored by then stays with the broker.
pub async fn run(
    service: Arc<Service>,
    mut incoming: mpsc::Receiver<Incoming>,
    shutdown: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        // Whatever has gathered while the last batch was being stored is the next one.
        let received = tokio::select! {
            received = incoming.recv_many(&mut batch, BATCH_MAX) => received,
            () = shutdown.cancelled() => return,
        };
        if received == 0 {
            return;
        }
        let (messages, acks): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|incoming| {
                let message = InboundMessage {
                    topic: incoming.topic,
                    payload: incoming.payload,
                };
                (message, incoming.ack)
            })
            .unzip();
        tokio::select! {
            () = store(&service, &messages) => {}
            () = shutdown.cancelled() => return,
        }
        for ack in acks {
            ack.acknowledge().await;
        }
    }
}

/// Returns when every message is stored or dropped with a reason.
async fn store(service: &Service, messages: &[InboundMessage]) {
    if !store_together(service, messages).await {
        // One of them can't be stored: it must not keep the others out.
        for message in messages {
            if !store_together(service, std::slice::from_ref(message)).await {
                service.count_refusal(&message.topic, "unstorable", "the database refuses it");
            }
        }
    }
}

/// Waits out a database that is away; false if it is there and refuses.
async fn store_together(service: &Service, messages: &[InboundMessage]) -> bool {
    let mut delay = RETRY_DELAY_MIN;
    loop {
        match service.record_messages(messages).await {
            Ok(()) => return true,
            Err(error) if matches!(error.trouble(), Trouble::Unavailable(_)) => {
                tracing::warn!(%error, messages = messages.len(), "reports wait for the database");
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_DELAY_MAX);
            }
            Err(error) => {
                tracing::error!(%error, messages = messages.len(), "reports can't be stored");
                return false;
            }
        }
    }
}
