//! What goes to the broker, and what comes of it.
//!
//! There is no queue of messages: the newest report of every upgrade follows from what is saved, so
//! after a reconnect exactly those go out that the broker has not acknowledged.

use airlift_proto::{
    HeartbeatData, Message, ProgressData, Report, ReportState, Slots, Status, TopicKind,
};
use embedded_storage::nor_flash::NorFlash;

use crate::{
    Broken, ENDED_MAX, Effect, MESSAGE_BYTES_MAX, MSG_ID_BYTES_MAX, Notice, PublishId,
    gateway::{Proof, Restart, Turn},
    text::Text,
    version, wire,
};

/// A report on its way. Only the newest of each upgrade counts.
#[derive(Debug)]
pub(crate) struct InFlight {
    id: PublishId,
    msg_id: Text<MSG_ID_BYTES_MAX>,
    state: ReportState,
}

/// The active upgrade and all that ended.
pub(crate) const IN_FLIGHT_MAX: usize = ENDED_MAX + 2;

/// Which upgrade a report is about.
#[derive(Clone, Copy)]
enum About {
    Active,
    /// Its place in the list.
    Ended(usize),
}

impl<F: NorFlash> Turn<'_, F> {
    fn next_publish(&mut self) -> PublishId {
        self.gateway.publish_last = self.gateway.publish_last.wrapping_add(1);
        PublishId(self.gateway.publish_last)
    }

    fn publish(&mut self, id: PublishId, kind: TopicKind, needs_ears: bool, payload: &[u8]) {
        (self.out)(Effect::Publish {
            id,
            kind,
            retain: kind == TopicKind::Status,
            needs_ears,
            payload,
        });
    }

    pub(crate) fn publish_status(&mut self, online: bool) {
        if !self.gateway.connected {
            return;
        }
        let id = self.next_publish();
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let status = Status {
            online,
            firmware_version: Some(self.gateway.version.as_str()),
        };
        if let Some(payload) = wire::status(&status, &mut buffer) {
            self.publish(id, TopicKind::Status, false, payload);
        }
    }

    pub(crate) fn heartbeat(&mut self) {
        let id = self.next_publish();
        let gateway = &mut *self.gateway;
        let other = version::other_version(&mut gateway.ota, &gateway.saved, &gateway.config);
        gateway.heartbeat_due_ms = self.now.ms.saturating_add(gateway.config.heartbeat_ms);
        let rollback = gateway.saved.rolled_back.as_ref();
        let tells_rollback = gateway.tells_rollback && rollback.is_some();
        let version = gateway.version.as_str();
        let slot = gateway.ota.get_running_partition().label.as_str();
        let next = gateway.ota.get_next_update_partition(None);
        let next = next.map(|partition| partition.label.as_str());
        let message = Message {
            msg_id: None,
            uuid: Some(gateway.config.id.as_str()),
            timestamp: Some(self.now.unix_seconds),
            data: HeartbeatData {
                firmware_version: version,
                battery: Some(i32::from(gateway.battery)),
                free_heap: gateway.free_heap.map(u64::from),
                rssi: gateway.rssi.map(i32::from),
                boot_reason: Some(gateway.boot_reason.word()),
                rollback: tells_rollback,
                slot: Some(slot),
                slots: Slots([Some((slot, version)), next.zip(other.as_deref())]),
            },
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        if let Some(payload) = wire::heartbeat(message, &mut buffer) {
            // Somebody must hear of a rollback.
            self.publish(id, TopicKind::Report, tells_rollback, payload);
        }
        let gateway = &mut *self.gateway;
        if gateway.proof == Proof::Owed {
            gateway.proof = Proof::Sent(id);
        }
        if tells_rollback {
            gateway.rollback_told_by = Some(id);
        }
        (self.out)(Effect::Tell(Notice::Heartbeat {
            version: &self.gateway.version,
        }));
    }

    fn report(&mut self, about: About) {
        if !self.gateway.connected {
            return;
        }
        let id = self.next_publish();
        let gateway = &*self.gateway;
        let (msg_id, data) = match about {
            About::Active => {
                let Some(active) = &gateway.saved.active else {
                    return;
                };
                let data = ProgressData {
                    state: active.phase.state(),
                    progress: gateway.progress().into(),
                    current_version: Some(gateway.version.as_str()),
                    target_version: Some(active.order.version.as_str()),
                    error_code: None,
                    error_message: None,
                };
                (active.order.msg_id.clone(), data)
            }
            About::Ended(at) => {
                let Some(end) = gateway.saved.ended.get(at) else {
                    return;
                };
                let error = end.error.as_ref();
                let data = ProgressData {
                    state: end.state(),
                    progress: end.progress.into(),
                    current_version: Some(gateway.version.as_str()),
                    target_version: Some(end.version.as_str()),
                    error_code: error.map(|error| error.code.as_str()),
                    error_message: error.map(|error| error.message.as_str()),
                };
                (end.msg_id.clone(), data)
            }
        };
        let state = data.state;
        let message = Message {
            msg_id: Some(msg_id.as_str()),
            uuid: Some(gateway.config.id.as_str()),
            timestamp: Some(self.now.unix_seconds),
            data,
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let Some(payload) = wire::report(&Report::Progress(message), &mut buffer) else {
            return;
        };
        self.publish(id, TopicKind::Report, true, payload);
        let in_flight = &mut self.gateway.in_flight;
        in_flight.retain(|report| report.msg_id != msg_id);
        if in_flight.is_full() {
            in_flight.remove(0);
        }
        // There is room now.
        let _ = in_flight.push(InFlight { id, msg_id, state });
    }

    /// Sends how far the running upgrade is.
    pub(crate) fn report_active(&mut self) {
        self.report(About::Active);
    }

    /// Sends the last report of an upgrade that ended.
    pub(crate) fn report_end(&mut self, msg_id: &str) {
        let mut ended = self.gateway.saved.ended.iter();
        if let Some(at) = ended.position(|end| end.msg_id == msg_id) {
            self.report(About::Ended(at));
        }
    }

    /// Sends the newest report of the upgrade that runs and of all whose end is not delivered.
    pub(crate) fn publish_owed_reports(&mut self) {
        for at in 0..self.gateway.saved.ended.len() {
            if !self.gateway.saved.ended[at].delivered {
                self.report(About::Ended(at));
            }
        }
        self.report_active();
    }

    pub(crate) fn acked(&mut self, id: PublishId) -> Result<(), Broken> {
        if self.gateway.rollback_told_by == Some(id) {
            self.gateway.rollback_told_by = None;
            if let Some(rolled_back) = &mut self.gateway.saved.rolled_back {
                rolled_back.told = true;
                self.keep();
            }
        }
        if self.gateway.proof == Proof::Sent(id) {
            self.gateway.proof = Proof::None;
            return self.confirm();
        }
        let mut in_flight = self.gateway.in_flight.iter();
        let Some(at) = in_flight.position(|report| report.id == id) else {
            return Ok(());
        };
        let report = self.gateway.in_flight.swap_remove(at);
        if matches!(report.state, ReportState::Completed | ReportState::Failed) {
            self.delivered(&report)?;
        }
        Ok(())
    }

    fn delivered(&mut self, report: &InFlight) -> Result<(), Broken> {
        let ended = &mut self.gateway.saved.ended;
        let end = ended
            .iter_mut()
            .find(|end| end.msg_id == report.msg_id && !end.delivered);
        if let Some(end) = end {
            end.delivered = true;
            self.keep();
            (self.out)(Effect::Tell(Notice::Delivered {
                msg_id: &report.msg_id,
                state: report.state,
            }));
        }
        if matches!(&self.gateway.restart, Restart::AwaitsAck { msg_id, .. } if *msg_id == report.msg_id)
        {
            self.reboot_into_trial()?;
        }
        Ok(())
    }
}
