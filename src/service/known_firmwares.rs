use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{Error, Result, trust::admit};
use crate::{
    domain::{
        Admission, Candidate, Firmware, FirmwareStatus, Gateway, VersionRefusal, is_downgrade,
        latest, plan_path,
    },
    store::Tx,
};

/// The firmwares that a transaction asks for: each is read once, for however many gateways.
pub(super) struct KnownFirmwares<'a> {
    admission: &'a Admission,
    /// By device type.
    latest: HashMap<String, Option<String>>,
    /// By device type and version.
    firmwares: HashMap<(String, String), Option<Arc<Firmware>>>,
    /// By device type.
    candidates: HashMap<String, Arc<[Candidate]>>,
}

impl<'a> KnownFirmwares<'a> {
    pub fn new(admission: &'a Admission) -> Self {
        KnownFirmwares {
            admission,
            latest: HashMap::new(),
            firmwares: HashMap::new(),
            candidates: HashMap::new(),
        }
    }

    /// The named version, or the latest release; refuses one that must not be sent.
    pub async fn installable(
        &mut self,
        tx: &mut Tx,
        device_type: &str,
        version: Option<&str>,
    ) -> Result<Arc<Firmware>> {
        let firmware = match version {
            Some(version) => self.firmware(tx, device_type, version).await?,
            None => {
                let version = self.latest(tx, device_type).await?;
                self.firmware(tx, device_type, &version).await?
            }
        };
        if firmware.status.is_installable() {
            admit(&firmware, self.admission)?;
            return Ok(firmware);
        }
        let version = &firmware.version;
        let advice = match firmware.status {
            FirmwareStatus::Draft => format!(
                "release it with POST /api/ota/firmware/{version}/release, or set its status to \
                 testing"
            ),
            _ => "choose a version that is released".to_owned(),
        };
        Err(Error::conflict(
            "firmware_not_installable",
            format!("firmware {version} is {}: {advice}", firmware.status),
        ))
    }

    /// The way to a firmware, and the firmware it begins with.
    pub async fn first_step(
        &mut self,
        tx: &mut Tx,
        gateway: &Gateway,
        target: Arc<Firmware>,
        forced: bool,
    ) -> Result<(Vec<String>, Arc<Firmware>)> {
        let current = gateway.current_version.as_deref();
        let refused = |refusal: VersionRefusal| {
            Error::conflict(
                refusal.code(),
                format!(
                    "gateway {} can't get firmware {}: {refusal}",
                    gateway.gateway_id, target.version
                ),
            )
        };
        if !forced && is_downgrade(current, &target.version) {
            return Err(refused(VersionRefusal::NewerRuns));
        }
        let candidates = self.candidates(tx, &target.device_type).await?;
        let path = plan_path(current, &target.version, &candidates).map_err(refused)?;
        let first = match path.first() {
            Some(first) if *first != target.version => {
                self.firmware(tx, &target.device_type, first).await?
            }
            _ => target,
        };
        Ok((path, first))
    }

    async fn firmware(
        &mut self,
        tx: &mut Tx,
        device_type: &str,
        version: &str,
    ) -> Result<Arc<Firmware>> {
        let key = (device_type.to_owned(), version.to_owned());
        let known = match self.firmwares.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(tx.firmware(device_type, version).await?.map(Arc::new))
            }
        };
        let firmware = known.clone();
        firmware.ok_or_else(|| Error::no_firmware(device_type, version))
    }

    async fn latest(&mut self, tx: &mut Tx, device_type: &str) -> Result<String> {
        if !self.latest.contains_key(device_type) {
            let released = tx.released_versions(device_type).await?;
            let latest = latest(released.iter().map(String::as_str)).map(str::to_owned);
            self.latest.insert(device_type.to_owned(), latest);
        }
        self.latest[device_type].clone().ok_or_else(|| {
            Error::not_found(
                "no_release",
                format!(
                    "no firmware for device type {device_type} is released: release one, or name \
                     a version"
                ),
            )
        })
    }

    async fn candidates(&mut self, tx: &mut Tx, device_type: &str) -> Result<Arc<[Candidate]>> {
        if !self.candidates.contains_key(device_type) {
            let candidates = tx.candidates(device_type, self.admission).await?;
            self.candidates
                .insert(device_type.to_owned(), candidates.into());
        }
        Ok(self.candidates[device_type].clone())
    }
}
