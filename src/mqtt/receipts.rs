//! Which of our messages the broker has acknowledged. `rumqttc` gives a message its packet id only as it
//! leaves its queue, and tells of that in the order of the queue.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use rumqttc::{
    Outgoing,
    v5::{
        Event,
        mqttbytes::v5::{Packet, PubAckReason},
    },
};
use tokio::sync::oneshot;

/// What the broker says to a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It does not want it; why.
    Refused(String),
}

/// The messages of one connection that are not acknowledged. Dropped, who waits for one hears that
/// there will be no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the connection's queue, in its order.
    queued: VecDeque<oneshot::Sender<Answer>>,
    /// With the broker, by packet id.
    sent: HashMap<u16, oneshot::Sender<Answer>>,
}

impl Receipts {
    /// Puts a message into the connection's queue with `enqueue`, which does not wait and says whether
    /// it did, and gives where the answer will come.
    pub fn expect(&self, enqueue: impl FnOnce() -> bool) -> Option<oneshot::Receiver<Answer>> {
        // Held meanwhile: so the order here is that of the queue, and a message that leaves at once
        // is found.
        let mut waiting = self.lock();
        if !enqueue() {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        waiting.queued.push_back(answer);
        Some(receiver)
    }

    /// How many messages wait in the connection's queue.
    pub fn queued(&self) -> usize {
        self.lock().queued.len()
    }

    /// Takes notice of what happened on the connection.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                let mut waiting = self.lock();
                if let Some(answer) = waiting.queued.pop_front() {
                    waiting.sent.insert(*packet_id, answer);
                }
            }
            Event::Incoming(Packet::PubAck(puback)) => {
                let Some(answer) = self.lock().sent.remove(&puback.pkid) else {
                    return;
                };
                // Nobody may wait for it any more.
                let _ = answer.send(match puback.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Answer::Taken,
                    reason => Answer::Refused(format!("{reason:?}")),
                });
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        match self.0.lock() {
            Ok(waiting) => waiting,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::PubAck;

    use super::*;

    fn leaves(packet_id: u16) -> Event {
        Event::Outgoing(Outgoing::Publish(packet_id))
    }

    fn acknowledged(packet_id: u16, reason: PubAckReason) -> Event {
        let mut puback = PubAck::new(packet_id, None);
        puback.reason = reason;
        Event::Incoming(Packet::PubAck(puback))
    }

    #[test]
    fn each_message_gets_its_own_answer_in_whatever_order_they_come() {
        let receipts = Receipts::default();
        let mut waiters: Vec<_> = (0..3).map(|_| receipts.expect(|| true).unwrap()).collect();
        assert!(receipts.expect(|| false).is_none());
        for packet_id in [7, 8, 9] {
            receipts.observe(&leaves(packet_id));
        }
        receipts.observe(&acknowledged(9, PubAckReason::NoMatchingSubscribers));
        receipts.observe(&acknowledged(8, PubAckReason::NotAuthorized));
        assert_eq!(waiters[2].try_recv(), Ok(Answer::Taken));
        let refused = Answer::Refused("NotAuthorized".to_owned());
        assert_eq!(waiters[1].try_recv(), Ok(refused));
        assert!(waiters[0].try_recv().is_err());
        receipts.observe(&acknowledged(7, PubAckReason::Success));
        assert_eq!(waiters[0].try_recv(), Ok(Answer::Taken));
    }

    #[test]
    fn the_end_of_the_connection_is_an_answer() {
        let receipts = Receipts::default();
        let mut waiter = receipts.expect(|| true).unwrap();
        receipts.observe(&leaves(1));
        drop(receipts);
        assert_eq!(waiter.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
