use airlift_proto::TopicKind;
use bytes::Bytes;

use super::{
    Error, InboundMessage, Result, Service, record_messages::Door, trigger_upgrade::check_gateway_id,
};
use crate::domain::ReportRefusal;

impl Service {
    /// Takes in what a gateway says over HTTP, as if the broker had brought it. When this returns
    /// `Ok`, it is stored.
    pub async fn record_report(&self, gateway_id: &str, payload: Bytes) -> Result<()> {
        check_gateway_id(gateway_id)?;
        let message = InboundMessage {
            topic: self.settings.topics.topic(gateway_id, TopicKind::Report),
            payload,
            // A device that waits for each answer says one thing after the other.
            late: false,
        };
        let refused = self.record_together(&[message], Door::Http).await?;
        match refused.first() {
            None => Ok(()),
            Some(refusal) => Err(explain(*refusal)),
        }
    }
}

fn explain(refusal: ReportRefusal) -> Error {
    let code = refusal.label();
    let message = |advice: &str| format!("the report is refused: {refusal}; {advice}");
    match refusal {
        ReportRefusal::UnknownTopic
        | ReportRefusal::Malformed
        | ReportRefusal::UnknownState
        | ReportRefusal::ProgressOutOfRange => Error::invalid(
            code,
            message("send what docs/protocol.md describes under Reports and Heartbeats"),
        ),
        ReportRefusal::UnknownTask => Error::not_found(
            code,
            message("report with the msgId of the command, or of the task that was begun"),
        ),
        ReportRefusal::ForeignTask => {
            Error::conflict(code, message("report under the id of the gateway that it is for"))
        }
        ReportRefusal::NoActiveTask => Error::conflict(
            code,
            message("the update has ended, was cancelled or was never begun here"),
        ),
    }
}
