//! Gateways' messages → service. Messages are gathered into batches, each batch is stored in one
//! transaction, and only then acknowledged to the broker: what dies in between is sent again.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    mqtt::Incoming,
    service::{InboundMessage, Service},
};

/// Messages stored per transaction.
const BATCH_MAX: usize = 8192;
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
                    late: incoming.late,
                };
                (message, incoming.ack)
            })
            .unzip();
        tokio::select! {
            () = store(&service, &messages) => {}
            () = shutdown.cancelled() => return,
        }
        for ack in acks {
            ack.acknowledge();
        }
    }
}

/// Returns when every message is stored or dropped with a reason; waits out a database that is
/// away.
async fn store(service: &Service, messages: &[InboundMessage]) {
    let mut delay = RETRY_DELAY_MIN;
    while let Err(error) = service.record_messages(messages).await {
        tracing::warn!(%error, messages = messages.len(), "reports wait for the database");
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_DELAY_MAX);
    }
}
