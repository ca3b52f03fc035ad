use super::{Result, Service};
use crate::domain::{CANCEL_SENDS_MAX, CommandKind, OutboundCommand, copy_lifetime, resend_delay};

/// Commands claimed per transaction.
const DISPATCH_BATCH_MAX: i64 = 100;

impl Service {
    /// Sends the commands that are due; how many. Claiming a command moves its next send into the
    /// future before it is published: no second server sends it meanwhile, and one that is lost
    /// with this process is sent again when that time comes.
    pub async fn dispatch_commands(&self) -> Result<usize> {
        if !self.publisher.is_connected() {
            return Ok(0);
        }
        let claimed = self.claim_due_commands().await?;
        for command in &claimed {
            let topic = self
                .settings
                .topics
                .topic(&command.gateway_id, airlift_proto::TopicKind::Command);
            let expiry = copy_lifetime(command.kind, command.sends);
            if let Err(error) = self
                .publisher
                .publish(&topic, &command.payload, expiry)
                .await
            {
                tracing::debug!(%error, topic, "a command was not sent; it stays due");
                continue;
            }
            self.metrics
                .commands_sent
                .get_or_create(&crate::metrics::KindLabel {
                    kind: command.kind.as_str(),
                })
                .inc();
            tracing::debug!(
                gateway_id = command.gateway_id,
                task_id = %command.task_id,
                kind = command.kind.as_str(),
                sends = command.sends,
                "command sent"
            );
        }
        Ok(claimed.len())
    }

    /// Returns when a command was queued by this server.
    pub async fn command_queued(&self) {
        self.commands_queued.notified().await;
    }

    async fn claim_due_commands(&self) -> Result<Vec<OutboundCommand>> {
        let now = self.clock.now();
        let secret = match self.guards_downloads() {
            true => Some(self.download_secret().await?),
            false => None,
        };
        let mut tx = self.db.begin().await?;
        let mut commands = tx.lock_due_commands(now, DISPATCH_BATCH_MAX).await?;
        for command in &mut commands {
            command.sends = command.sends.saturating_add(1);
            command.next_send_at = now + resend_delay(command.sends, rand::random());
            if command.kind == CommandKind::Cancel && command.sends >= CANCEL_SENDS_MAX {
                tx.delete_command(command.task_id, command.kind).await?;
            } else {
                tx.update_command(command).await?;
            }
        }
        if let Some(secret) = secret {
            self.sign_commands(&mut tx, &mut commands, secret, now)
                .await?;
        }
        tx.commit().await?;
        Ok(commands)
    }
}
