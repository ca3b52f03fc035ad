use serde_json::Value;

use super::{Error, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{domain::CommandKind, metrics::KindLabel};

impl Service {
    /// The command that waits for a gateway which asks for it over HTTP, oldest first. An upgrade
    /// stays until the gateway shows life on its task, however often it is fetched; a cancel is
    /// told once, like all else that nobody answers.
    pub async fn fetch_command(&self, gateway_id: &str) -> Result<Option<Value>> {
        check_gateway_id(gateway_id)?;
        let now = self.clock.now();
        // Most polls find nothing, and none of these shall wait for a writer.
        let mut tx = self.db.read().await?;
        if !tx.has_waiting_command(gateway_id, now).await? {
            return Ok(None);
        }
        drop(tx);
        let secret = self.signing_secret().await?;
        let mut tx = self.db.begin().await?;
        let Some(mut command) = tx.lock_waiting_command(gateway_id, now).await? else {
            return Ok(None);
        };
        command.claim(now, rand::random());
        match command.kind {
            CommandKind::Cancel => {
                tx.delete_command(command.task_id, command.kind).await?;
            }
            CommandKind::Upgrade => tx.update_commands(&[&command]).await?,
        }
        if let Some(secret) = secret {
            self.sign_command(&mut tx, &mut command, secret, now)
                .await?;
        }
        tx.commit().await?;
        let kind = command.kind.as_str();
        self.metrics
            .commands_sent
            .get_or_create(&KindLabel { kind })
            .inc();
        tracing::debug!(
            gateway_id,
            task_id = %command.task_id,
            kind,
            sends = command.sends,
            "command fetched"
        );
        match serde_json::from_str(&command.payload) {
            Ok(command) => Ok(Some(command)),
            Err(error) => {
                tracing::error!(gateway_id, %error, "a stored command is not JSON");
                Err(Error::busy(
                    "command_unreadable",
                    "the command that waits can't be read; the server's log says why",
                ))
            }
        }
    }
}
