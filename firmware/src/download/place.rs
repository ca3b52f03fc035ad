//! Where the parts of an upgrade go: firmware into the slot that does not run, the web part into its
//! room. And the marks from which they go on after a power cut.

use airlift_bundle::{Kind, PartDigests, PartName};
use airlift_esp::Target;
use embedded_storage::nor_flash::NorFlash;
use md5::Md5;
use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{Download, percent_of};
use crate::{
    Broken, Gateway,
    flash::partition_table::Partition,
    gateway::Turn,
    install::InstallError,
    ota::{Handle, ImageSize},
    saved::Mark,
    trial::slot_of,
    web::{Changed, Layout, Room, Stage},
};

/// Where firmware goes.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) handle: Handle,
    partition: Partition,
    /// Size of the image, bytes.
    bytes: u32,
    /// Of the whole image, once it is here.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What is to come.
struct Plan {
    /// The slot that does not run.
    slot: Option<Partition>,
    /// Size of the firmware, bytes.
    firmware: Option<u32>,
    /// Of the web part.
    layout: Option<Layout>,
}

impl Plan {
    fn number(&self) -> u8 {
        self.slot.as_ref().and_then(slot_of).unwrap_or_default()
    }

    /// Size of the web part, bytes.
    fn web(&self) -> Option<u32> {
        self.layout.as_ref().map(|layout| layout.web_bytes)
    }

    /// Whether it can go on at that place.
    fn has(&self, mark: &Mark) -> bool {
        match mark.is_web {
            true => self.web().is_some() && (mark.offset > 0 || self.firmware.is_some()),
            false => self.firmware.is_some() && mark.offset > 0,
        }
    }
}

/// A mark, and the digests that it tells.
type Marked = (Mark, Sha256, Md5);

impl<F: NorFlash> Gateway<F> {
    /// The web part of a bundle that has firmware, too.
    pub(crate) fn second_part(&self) -> Option<&PartDigests> {
        let release = self.release.as_ref()?;
        release
            .web
            .as_ref()
            .filter(|_| release.kind == Kind::FirmwareAndWeb)
    }

    /// Opens the session and the stage: where the last ones were marked, else at the beginning.
    pub(crate) fn open_download(&mut self) -> Result<(), InstallError> {
        let Some(active) = &self.saved.active else {
            return Ok(());
        };
        let plan = self.plan(active.order.file_size)?;
        // What they are about will be overwritten.
        self.memory.drop_web(self.ota.flash())?;
        let next = self.ota.get_next_update_partition(None).and_then(slot_of);
        self.saved.installed.retain(|one| Some(one.slot) != next);
        let marked = self.marked(&plan);
        let is_web = marked.as_ref().is_some_and(|(mark, ..)| mark.is_web);
        let is_web = is_web || plan.firmware.is_none();
        let offset = marked.as_ref().map_or(0, |(mark, ..)| mark.offset);
        let stage = match &plan.layout {
            Some(layout) if is_web => {
                let changed = marked.as_ref().map(|(mark, ..)| mark.changed.clone());
                Some(self.stage(layout, offset, changed.unwrap_or_default())?)
            }
            _ => None,
        };
        let slot = self.open_slot(&plan, marked.as_ref().map(|(mark, ..)| mark))?;
        let (mark, sha256, md5) =
            marked.unwrap_or_else(|| (Mark::default(), Sha256::new(), Md5::new()));
        let (firmware, web) = (plan.firmware.unwrap_or(0), plan.web().unwrap_or(0));
        let total = firmware.saturating_add(web);
        let before = if is_web { firmware } else { 0 };
        self.download = Some(Download {
            part: if is_web {
                PartName::Web
            } else {
                PartName::Firmware
            },
            size: if is_web { web } else { firmware },
            before,
            total,
            slot,
            layout: plan.layout,
            stage,
            received: offset,
            received_max: before.saturating_add(offset),
            marked: offset,
            marks: true,
            progress: percent_of(before.saturating_add(offset), total),
            etag: mark.etag,
            sha256,
            md5,
        });
        Ok(())
    }

    /// What is to come, if there is a place for it.
    fn plan(&self, file_size: u64) -> Result<Plan, InstallError> {
        let kind = self.release.as_ref().map(|release| release.kind);
        let slot = self.ota.get_next_update_partition(None).cloned();
        let firmware = match (&slot, kind) {
            (_, Some(Kind::Web)) => None,
            (Some(slot), _) if file_size <= slot.size.into() => Some(file_size as u32),
            (Some(slot), _) => {
                return Err(InstallError::TooLarge {
                    image: file_size,
                    slot: slot.size,
                });
            }
            (None, _) => return Err(InstallError::NoSlot),
        };
        let web = match kind {
            Some(Kind::Web) => Some(file_size),
            _ => self.second_part().map(|part| part.size),
        };
        let target = Target::parse(&self.config.target);
        let layout = web.map(|bytes| Layout {
            slot: slot.as_ref().and_then(slot_of),
            firmware_bytes: firmware.unwrap_or(0),
            web_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            web_bytes_max: target.map_or(0, Target::web_bytes_max),
            flash_bytes: u32::try_from(self.ota.capacity()).unwrap_or(u32::MAX),
        });
        if let Some(layout) = &layout {
            Room::new(self.ota.table(), layout)?;
        }
        Ok(Plan {
            slot,
            firmware,
            layout,
        })
    }

    /// The place where the upgrade can go on.
    fn marked(&mut self, plan: &Plan) -> Option<Marked> {
        let msg_id = &self.saved.active.as_ref()?.order.msg_id;
        let mark = self.memory.load_mark(self.ota.flash())?;
        let is_ours = mark.msg_id == *msg_id && mark.slot == plan.number() && plan.has(&mark);
        let (sha256, md5) = (restored(&mark.sha256)?, restored(&mark.md5)?);
        is_ours.then_some((mark, sha256, md5))
    }

    fn open_slot(
        &mut self,
        plan: &Plan,
        mark: Option<&Mark>,
    ) -> Result<Option<Slot>, InstallError> {
        let (Some(partition), Some(bytes)) = (&plan.slot, plan.firmware) else {
            return Ok(None);
        };
        let size = ImageSize::Bytes(bytes);
        let (opened, sha256) = match mark {
            Some(mark) if mark.is_web => {
                let order = self.saved.active.as_ref().map(|active| &active.order);
                let sha256 = order.and_then(|order| order.sha256);
                (self.ota.resume(partition, size, bytes, mark.head), sha256)
            }
            Some(mark) => (
                self.ota.resume(partition, size, mark.offset, mark.head),
                None,
            ),
            None => (self.ota.begin(partition, size), None),
        };
        let handle = opened.map_err(InstallError::Begin)?;
        Ok(Some(Slot {
            handle,
            partition: partition.clone(),
            bytes,
            sha256,
        }))
    }

    fn stage(&self, layout: &Layout, offset: u32, changed: Changed) -> Result<Stage, InstallError> {
        Ok(Stage::open(
            self.ota.table(),
            layout.clone(),
            offset,
            changed,
        )?)
    }

    /// Begins the part that comes at its beginning.
    fn reopen(&mut self) -> Result<(), InstallError> {
        let Some(mut download) = self.download.take() else {
            return Ok(());
        };
        let reopened = match (download.part, &download.layout, &mut download.slot) {
            (PartName::Web, Some(layout), _) => {
                let stage = self.stage(layout, 0, Changed::default());
                stage.map(|stage| download.stage = Some(stage))
            }
            (_, _, Some(slot)) => {
                // Closed already if its last write failed.
                let _ = self.ota.abort(slot.handle);
                let size = ImageSize::Bytes(slot.bytes);
                let begun = self.ota.begin(&slot.partition, size);
                begun
                    .map(|handle| slot.handle = handle)
                    .map_err(InstallError::Begin)
            }
            _ => Ok(()),
        };
        self.download = Some(download);
        reopened
    }

    /// Makes the place in the download durable.
    fn save_place(&mut self) -> Result<(), Broken> {
        let (Some(active), Some(download)) = (&self.saved.active, &self.download) else {
            return Ok(());
        };
        let head = match &download.slot {
            Some(slot) => self.ota.head(slot.handle)?,
            None => Default::default(),
        };
        let plan_slot = self.ota.get_next_update_partition(None);
        let changed = download.stage.as_ref().map(|stage| stage.changed().clone());
        let mut mark = Mark {
            msg_id: active.order.msg_id.clone(),
            slot: plan_slot.and_then(slot_of).unwrap_or_default(),
            offset: download.received,
            etag: download.etag.clone(),
            head,
            md5: heapless::Vec::from_slice(&download.md5.serialize()).unwrap_or_default(),
            sha256: heapless::Vec::from_slice(&download.sha256.serialize()).unwrap_or_default(),
            is_web: download.part == PartName::Web,
            changed: changed.unwrap_or_default(),
        };
        self.memory.save_mark(self.ota.flash(), &mut mark)
    }
}

impl<F: NorFlash> Turn<'_, F> {
    /// Makes the place durable, if the NVS can; a download without marks starts over after a power
    /// cut.
    pub(super) fn mark(&mut self) {
        let saved = self.gateway.save_place();
        if let Some(download) = &mut self.gateway.download {
            download.marks = saved.is_ok();
            if download.marks {
                download.marked = download.received;
            }
        }
    }

    /// Nothing of the part that is here can be continued. False: the upgrade has ended.
    pub(super) fn start_over(&mut self) -> Result<bool, Broken> {
        let Some(download) = &mut self.gateway.download else {
            return Ok(false);
        };
        let was_marked = download.marked > 0;
        download.begin(download.part, download.before, download.size);
        if let Err(error) = self.gateway.reopen() {
            self.end_active(error.into())?;
            return Ok(false);
        }
        if was_marked {
            // A stale mark would go on with bytes that will have been overwritten.
            if let Err(broken) = self.gateway.save_place() {
                self.end_active(InstallError::Broken(broken).into())?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The firmware is here: the web part comes. False: there is none.
    pub(crate) fn next_part(&mut self) -> Result<bool, Broken> {
        let gateway = &mut *self.gateway;
        let Some(download) = &mut gateway.download else {
            return Ok(false);
        };
        let (PartName::Firmware, Some(layout), Some(slot)) =
            (download.part, &download.layout, &mut download.slot)
        else {
            return Ok(false);
        };
        if let Err(error) = gateway.ota.settle(slot.handle) {
            self.end_active(InstallError::Write(error).into())?;
            return Ok(true);
        }
        slot.sha256 = Some(download.sha256.clone().finalize().into());
        let (before, size) = (download.size, layout.web_bytes);
        download.begin(PartName::Web, before, size);
        if let Err(error) = gateway.reopen() {
            self.end_active(error.into())?;
            return Ok(true);
        }
        self.mark();
        self.fetch()?;
        Ok(true)
    }
}

/// A digest that goes on from `state`.
fn restored<D: SerializableState>(state: &[u8]) -> Option<D> {
    let state = SerializedState::<D>::try_from(state).ok()?;
    D::deserialize(&state).ok()
}
