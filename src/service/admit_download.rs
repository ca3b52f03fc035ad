use super::{
    Error, Result, Service, StoredFile, download_file::StoredFirmwareFile,
    sign_downloads::FIRMWARE_DOOR,
};
use crate::{
    domain::{Actor, Caller, DownloadGrant, GrantRefusal},
    metrics::ReasonLabel,
};

/// What a signed address says of itself.
#[derive(Clone, Debug)]
pub struct SignedDownload {
    pub gateway_id: String,
    /// Unix seconds.
    pub expires: i64,
    pub signature: String,
}

const UNSIGNED: &str = "download_unsigned";
const INVALID_SIGNATURE: &str = "invalid_signature";
const EXPIRED: &str = "url_expired";
const REVOKED: &str = "gateway_revoked";
const FOREIGN: &str = "not_its_file";

impl Service {
    /// A firmware's file, for who may have it: a person or machine, a gateway that was ever sent it, or
    /// whoever has an address that was signed for it.
    ///
    /// A token counts before a signature does, so that a gateway whose address is too old goes on with
    /// its token.
    pub async fn download_firmware(
        &self,
        caller: &Caller,
        file_name: &str,
        signed: Option<&SignedDownload>,
    ) -> Result<StoredFile> {
        let found = self.firmware_file(file_name).await;
        let outcome = match &caller.actor {
            _ if !self.guards_downloads() => Ok(()),
            Actor::Gateway { gateway_id } => self.admit_gateway(gateway_id, &found, signed).await,
            Actor::Nobody => self.admit_signed(&found, signed).await,
            Actor::Anyone
            | Actor::Token { .. }
            | Actor::User { .. }
            | Actor::CommandLine { .. } => Ok(()),
        };
        self.count_denial(outcome)?;
        Ok(found?.file)
    }

    /// A package's file, for any gateway, person or machine: packages are for all Linux devices.
    pub async fn download_package(&self, caller: &Caller, sha256: &str) -> Result<StoredFile> {
        if self.guards_downloads() && caller.actor == Actor::Nobody {
            self.count_denial(Err(unsigned()))?;
        }
        self.package_file(sha256).await
    }

    fn count_denial(&self, outcome: Result<()>) -> Result<()> {
        if let Err(Error::Unauthenticated { code, .. } | Error::Forbidden { code, .. }) = &outcome {
            let reason = ReasonLabel { reason: code };
            self.metrics.access.refused.get_or_create(&reason).inc();
        }
        outcome
    }

    async fn admit_gateway(
        &self,
        gateway_id: &str,
        found: &Result<StoredFirmwareFile>,
        signed: Option<&SignedDownload>,
    ) -> Result<()> {
        if let Ok(found) = found {
            let mut tx = self.db.read().await?;
            let (device_type, version) = (&found.device_type, &found.version);
            if tx.has_task_to(gateway_id, device_type, version).await? {
                return Ok(());
            }
        }
        match signed {
            Some(signed) if signed.gateway_id == gateway_id => {
                self.admit_signed(found, Some(signed)).await
            }
            Some(_) => Err(forged()),
            None => Err(Error::forbidden(
                FOREIGN,
                format!(
                    "gateway {gateway_id} was never sent this file: a gateway's token opens the files \
                     of its own upgrades"
                ),
            )),
        }
    }

    async fn admit_signed(
        &self,
        found: &Result<StoredFirmwareFile>,
        signed: Option<&SignedDownload>,
    ) -> Result<()> {
        let signed = signed.ok_or_else(unsigned)?;
        let file = match found {
            Ok(found) => &found.file,
            // Who has no token is not told what there is.
            Err(Error::NotFound { .. }) => return Err(forged()),
            Err(_) => return Ok(()),
        };
        let path = format!("{FIRMWARE_DOOR}{}", file.name);
        let grant = DownloadGrant {
            gateway_id: &signed.gateway_id,
            path: &path,
            sha256: &file.sha256,
            expires: signed.expires,
        };
        let now = self.clock.now();
        let secret = self.download_secret().await?;
        grant
            .verify(secret, &signed.signature, now)
            .map_err(|refusal| match refusal {
                GrantRefusal::Forged => forged(),
                GrantRefusal::Expired => Error::forbidden(
                    EXPIRED,
                    "the address has expired: trigger the upgrade again, or fetch the command \
                     again, which has a new one; or send the gateway's token",
                ),
            })?;
        let mut tx = self.db.read().await?;
        match tx.is_gateway_revoked(&signed.gateway_id, now).await? {
            false => Ok(()),
            true => Err(Error::forbidden(
                REVOKED,
                format!(
                    "the access of gateway {} was revoked: ask an administrator for a new token",
                    signed.gateway_id
                ),
            )),
        }
    }
}

fn unsigned() -> Error {
    Error::unauthenticated(
        UNSIGNED,
        "this file is for who is known: take the signed address in the gateway's command as it is, or \
         send Authorization: Bearer <token>",
    )
}

fn forged() -> Error {
    Error::forbidden(
        INVALID_SIGNATURE,
        "the signature in the address is not for this file and gateway: take the address in the \
         gateway's command as it is",
    )
}
