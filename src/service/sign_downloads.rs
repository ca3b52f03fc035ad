use std::{collections::HashMap, slice};

use airlift_proto::{Command, UpgradeData};
use chrono::{DateTime, Utc};

use super::{Result, Service, download_file::file_of};
use crate::{
    domain::{CommandKind, DownloadGrant, OutboundCommand},
    store::Tx,
};

/// The name of the secret that downloads are signed with.
const SECRET_NAME: &str = "download_url";
/// What the paths of firmwares' files begin with.
pub(super) const FIRMWARE_DOOR: &str = "/firmware/";

/// The SHA-256 of files by their names.
type Digests = HashMap<String, String>;

impl Service {
    /// Whether a download asks who comes.
    pub fn guards_downloads(&self) -> bool {
        self.is_closed() && !self.settings.public_downloads
    }

    /// What downloads are signed with: the same for all servers over one database.
    pub(super) async fn download_secret(&self) -> Result<&[u8]> {
        let secret = self.download_secret.get_or_try_init(async || {
            let known = self.db.read().await?.signing_secret(SECRET_NAME).await?;
            if let Some(known) = known {
                return Ok(known);
            }
            let made = rand::random::<[u8; 32]>();
            let mut tx = self.db.begin().await?;
            tx.put_signing_secret(SECRET_NAME, &made, self.clock.now())
                .await?;
            let secret = tx.signing_secret(SECRET_NAME).await?;
            tx.commit().await?;
            Ok::<_, super::Error>(secret.unwrap_or_else(|| made.to_vec()))
        });
        Ok(secret.await?)
    }

    /// Signs the addresses in commands that are about to leave; what is stored stays as it is.
    pub(super) async fn sign_commands(
        &self,
        tx: &mut Tx,
        commands: &mut [OutboundCommand],
        secret: &[u8],
        now: DateTime<Utc>,
    ) -> Result<()> {
        // A wave's commands are about the same few files.
        let mut digests = Digests::new();
        for command in commands {
            if command.kind != CommandKind::Upgrade {
                continue;
            }
            let read = serde_json::from_str::<Command>(&command.payload);
            let Ok(Command::Upgrade(mut message)) = read else {
                tracing::error!(task_id = %command.task_id, "a stored command can't be read");
                continue;
            };
            learn_digests(tx, &message.data.firmware_url, &mut digests).await?;
            let begins = message.data.not_before.unwrap_or(0).max(now.timestamp());
            let grantor = Grantor {
                gateway_id: &command.gateway_id,
                expires: begins.saturating_add(self.settings.download_url_lifetime.num_seconds()),
                secret,
                digests: &digests,
            };
            grantor.sign_all(&mut message.data);
            command.payload = serde_json::to_string(&Command::Upgrade(message))
                .expect("a command has only strings and numbers");
        }
        Ok(())
    }

    /// Signs the addresses in one command.
    pub(super) async fn sign_command(
        &self,
        tx: &mut Tx,
        command: &mut OutboundCommand,
        secret: &[u8],
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.sign_commands(tx, slice::from_mut(command), secret, now)
            .await
    }
}

/// Learns of all files of the firmware that this address names.
async fn learn_digests(tx: &mut Tx, url: &str, digests: &mut Digests) -> Result<()> {
    let Some(file_name) = file_name_in(url) else {
        return Ok(());
    };
    if digests.contains_key(file_name) {
        return Ok(());
    }
    let Some(firmware) = tx.firmware_by_file_name(file_name).await? else {
        return Ok(());
    };
    let beside = firmware.bundle.iter().flat_map(|it| it.files_beside());
    let beside = beside.map(|file| file.file_name.clone());
    for name in beside.chain([firmware.file_name.clone()]) {
        let (_, sha256, _) = file_of(&firmware, &name);
        digests.insert(name, sha256.to_owned());
    }
    Ok(())
}

/// Of a firmware's file; the address may have been made when the server had another name.
fn file_name_in(url: &str) -> Option<&str> {
    let (_, name) = url.rsplit_once(FIRMWARE_DOOR)?;
    (!name.contains(['/', '?', '#'])).then_some(name)
}

struct Grantor<'g> {
    gateway_id: &'g str,
    expires: i64,
    secret: &'g [u8],
    digests: &'g Digests,
}

impl Grantor<'_> {
    fn sign_all(&self, data: &mut UpgradeData) {
        let links = [&mut data.manifest_url, &mut data.signature_url];
        let links = links.into_iter().flatten();
        let parts = data.parts.iter_mut().map(|part| &mut part.url);
        for url in links.chain(parts).chain([&mut data.firmware_url]) {
            self.sign(url);
        }
    }

    /// Leaves an address that is none of a firmware's file.
    fn sign(&self, url: &mut String) {
        let Some(file_name) = file_name_in(url) else {
            return;
        };
        let Some(sha256) = self.digests.get(file_name) else {
            return;
        };
        let path = format!("{FIRMWARE_DOOR}{file_name}");
        let grant = DownloadGrant {
            gateway_id: self.gateway_id,
            path: &path,
            sha256,
            expires: self.expires,
        };
        url.push_str(&grant.query(self.secret));
    }
}
