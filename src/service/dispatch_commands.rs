use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Result, Service};
use crate::{
    domain::{CANCEL_SENDS_MAX, CommandKind, Gateway, OutboundCommand, copy_lifetime},
    metrics::KindLabel,
    store::Tx,
};

/// Commands claimed per transaction.
const DISPATCH_BATCH_MAX: i64 = 500;

/// Longest wait until new commands have left; those that have not are sent again when they are due.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a transaction sends the commands that it stores.
#[derive(Clone, Copy)]
pub(super) struct Sending<'s> {
    /// Whether the connection to the broker takes them at once.
    at_once: bool,
    /// What downloads are signed with, where they are.
    secret: Option<&'s [u8]>,
    now: DateTime<Utc>,
}

impl Sending<'_> {
    /// All stays in the outbox.
    pub fn later(now: DateTime<Utc>) -> Sending<'static> {
        Sending {
            at_once: false,
            secret: None,
            now,
        }
    }

    /// Claims a command for this server, so that it leaves without a look into the outbox once the
    /// transaction that stores it has committed. One that is not due stays in the outbox, and so
    /// does one for a gateway that asks for it over HTTP.
    pub fn claim(&self, command: &mut OutboundCommand, gateway: &Gateway) {
        if self.at_once && command.next_send_at <= self.now && !gateway.speaks_http() {
            command.claim(self.now, rand::random());
        }
    }
}

impl Service {
    /// Sends the commands that are due; how many. Claiming a command moves its next send into the
    /// future before it is published: no second server sends it meanwhile, and one that is lost
    /// with this process is sent again when that time comes.
    pub async fn dispatch_commands(&self) -> Result<usize> {
        if !self.publisher.is_connected() {
            return Ok(0);
        }
        let claimed = self.claim_due_commands().await?;
        self.publish_commands(&claimed).await;
        Ok(claimed.len())
    }

    /// Returns when a command was queued by this server.
    pub async fn command_queued(&self) {
        self.commands_queued.notified().await;
    }

    /// Not within a transaction: the secret may have to be made.
    pub(super) async fn sending(
        &self,
        commands_max: usize,
        now: DateTime<Utc>,
    ) -> Result<Sending<'_>> {
        Ok(Sending {
            at_once: self.publisher.has_room(commands_max),
            secret: self.signing_secret().await?,
            now,
        })
    }

    pub(super) async fn signing_secret(&self) -> Result<Option<&[u8]>> {
        Ok(match self.guards_downloads() {
            true => Some(self.download_secret().await?),
            false => None,
        })
    }

    /// Stores new commands; gives those that were claimed, as they are to be published after the
    /// commit.
    pub(super) async fn put_commands(
        &self,
        tx: &mut Tx,
        commands: &[OutboundCommand],
        sending: Sending<'_>,
    ) -> Result<Vec<OutboundCommand>> {
        tx.insert_commands(commands).await?;
        let claimed = commands.iter().filter(|command| command.sends > 0);
        let mut claimed: Vec<OutboundCommand> = claimed.cloned().collect();
        if let Some(secret) = sending.secret {
            self.sign_commands(tx, &mut claimed, secret, sending.now)
                .await?;
        }
        Ok(claimed)
    }

    /// Publishes new commands whose claim is committed. A broker that takes nothing holds up nobody.
    pub(super) async fn publish_claimed(&self, commands: &[OutboundCommand]) {
        let _ = timeout(LEAVE_TIMEOUT, self.publish_commands(commands)).await;
    }

    async fn publish_commands(&self, commands: &[OutboundCommand]) {
        for command in commands {
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
            let kind = command.kind.as_str();
            let sent = &self.metrics.commands_sent;
            sent.get_or_create(&KindLabel { kind }).inc();
            tracing::debug!(
                gateway_id = command.gateway_id,
                task_id = %command.task_id,
                kind,
                sends = command.sends,
                "command sent"
            );
        }
    }

    async fn claim_due_commands(&self) -> Result<Vec<OutboundCommand>> {
        let now = self.clock.now();
        let secret = self.signing_secret().await?;
        let mut tx = self.db.begin().await?;
        let mut commands = tx.lock_due_commands(now, DISPATCH_BATCH_MAX).await?;
        for command in &mut commands {
            command.claim(now, rand::random());
        }
        let is_last =
            |it: &&OutboundCommand| it.kind == CommandKind::Cancel && it.sends >= CANCEL_SENDS_MAX;
        let (last, more): (Vec<_>, Vec<_>) = commands.iter().partition(is_last);
        let last: Vec<Uuid> = last.iter().map(|it| it.task_id).collect();
        tx.delete_commands(&last, CommandKind::Cancel).await?;
        tx.update_commands(&more).await?;
        if let Some(secret) = secret {
            self.sign_commands(&mut tx, &mut commands, secret, now)
                .await?;
        }
        tx.commit().await?;
        Ok(commands)
    }
}
