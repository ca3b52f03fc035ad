//! What goes to the broker, and what comes of it.
//!
//! There is no queue of messages: the newest report of every upgrade follows from what is saved, so
//! after a reconnect exactly those go out that the broker has not acknowledged.

use alloc::{string::String, vec::Vec};

use airlift_proto::{HeartbeatData, Message, ProgressData, Report, ReportState, TopicKind};

use crate::{
    Body, Effect, Notice, PublishId,
    gateway::{Proof, Restart, Turn},
};

/// A report on its way. Only the newest of each upgrade counts.
#[derive(Debug)]
pub(crate) struct InFlight {
    id: PublishId,
    msg_id: String,
    state: ReportState,
}

impl Turn<'_, '_> {
    /// Sends if there is a connection; a status is retained.
    pub(crate) fn publish(&mut self, kind: TopicKind, body: Body) -> Option<PublishId> {
        if !self.gateway.connected {
            return None;
        }
        self.gateway.publish_last = self.gateway.publish_last.wrapping_add(1);
        let id = PublishId(self.gateway.publish_last);
        self.effects.push(Effect::Publish {
            id,
            kind,
            retain: kind == TopicKind::Status,
            body,
        });
        Some(id)
    }

    pub(crate) fn heartbeat(&mut self) {
        let gateway = &mut *self.gateway;
        gateway.heartbeat_due_ms = self.now.ms.saturating_add(gateway.config.heartbeat_ms);
        let version = gateway.running_version.clone();
        let message = Message {
            msg_id: None,
            uuid: Some(gateway.config.id.clone()),
            timestamp: Some(self.now.unix_seconds),
            data: HeartbeatData {
                firmware_version: version.clone(),
                battery: Some(f32::from(gateway.battery)),
                boot_reason: Some(gateway.boot_reason.word().into()),
                ..HeartbeatData::default()
            },
        };
        let id = self.publish(TopicKind::Report, Body::Report(Report::Heartbeat(message)));
        if let (Proof::Owed, Some(id)) = (self.gateway.proof, id) {
            self.gateway.proof = Proof::Sent(id);
        }
        self.tell(Notice::Heartbeat { version });
    }

    /// Sends one report of one upgrade.
    pub(crate) fn report(&mut self, msg_id: &str, data: ProgressData) {
        let state = data.state;
        let message = Message {
            msg_id: Some(msg_id.into()),
            uuid: Some(self.gateway.config.id.clone()),
            timestamp: Some(self.now.unix_seconds),
            data,
        };
        let body = Body::Report(Report::Progress(message));
        if let Some(id) = self.publish(TopicKind::Report, body) {
            let in_flight = &mut self.gateway.in_flight;
            in_flight.retain(|report| report.msg_id != msg_id);
            in_flight.push(InFlight {
                id,
                msg_id: msg_id.into(),
                state,
            });
        }
    }

    /// Sends how far the running upgrade is.
    pub(crate) fn report_active(&mut self) {
        let Some(active) = &self.gateway.saved.active else {
            return;
        };
        let data = ProgressData {
            state: active.phase.state(),
            progress: active.progress.into(),
            current_version: Some(self.gateway.running_version.clone()),
            target_version: Some(active.order.upgrade.version.clone()),
            error_code: None,
            error_message: None,
        };
        let msg_id = active.order.msg_id.clone();
        self.report(&msg_id, data);
    }

    /// Sends the newest report of the upgrade that runs and of all whose end is not delivered.
    pub(crate) fn publish_owed_reports(&mut self) {
        let owed: Vec<_> = self
            .gateway
            .saved
            .finished
            .iter()
            .filter(|end| !end.delivered)
            .map(|end| (end.msg_id.clone(), end.report.clone()))
            .collect();
        for (msg_id, report) in owed {
            self.report(&msg_id, report);
        }
        self.report_active();
    }

    pub(crate) fn acked(&mut self, id: PublishId) {
        let gateway = &mut *self.gateway;
        if gateway.proof == Proof::Sent(id) {
            gateway.proof = Proof::None;
            let version = gateway.running_version.clone();
            self.tell(Notice::Confirmed { version });
            return;
        }
        let Some(at) = gateway.in_flight.iter().position(|report| report.id == id) else {
            return;
        };
        let report = gateway.in_flight.swap_remove(at);
        if matches!(report.state, ReportState::Completed | ReportState::Failed) {
            self.delivered(report);
        }
    }

    fn delivered(&mut self, report: InFlight) {
        let finished = &mut self.gateway.saved.finished;
        let end = finished
            .iter_mut()
            .find(|end| end.msg_id == report.msg_id && !end.delivered);
        if let Some(end) = end {
            end.delivered = true;
            self.effects.push(Effect::Save);
            self.tell(Notice::Delivered {
                msg_id: report.msg_id.clone(),
                state: report.state,
            });
        }
        if matches!(&self.gateway.restart, Restart::AwaitsAck { msg_id } if *msg_id == report.msg_id)
        {
            self.reboot();
        }
    }
}
