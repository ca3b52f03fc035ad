//! What a gateway remembers over a power cut: two NVS blobs, each replaced as a whole.

use airlift_proto::ReportState;
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

use crate::{
    Broken, ENDED_MAX, ERROR_CODE_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, ETAG_BYTES_MAX,
    LINKS_BYTES_MAX, MSG_ID_BYTES_MAX, URL_BYTES_MAX, VERSION_BYTES_MAX,
    flash::{crc32::crc32_le, nvs::Nvs, partition_table::Partition},
    stored::{self, Bytes, Stored, stored},
    text::Text,
    trial::{RolledBack, Trial},
    web::{Changed, Record, WebTrial},
};

/// Namespace of all our keys.
pub const NAMESPACE: &str = "airlift";
/// Key of [`Saved`].
const KEY_SAVED: &str = "state";
/// Key of [`Mark`].
const KEY_MARK: &str = "mark";
/// Key of [`Record`].
const KEY_WEB: &str = "web";
/// Key of the attempts of the last boot trial, a u8 for whoever reads the flash afterwards.
const KEY_ATTEMPTS: &str = "attempts";
/// First byte of every blob.
pub(crate) const FORMAT: u8 = 1;
/// Ids of ended upgrades that are recognized after their reports are forgotten.
const KNOWN_MAX: usize = 48;
/// Largest [`Saved`], bytes. An NVS of 5 pages holds it twice, as it must to replace it.
const SAVED_BYTES_MAX: usize = 6400;
/// Largest [`Mark`], bytes.
const MARK_BYTES_MAX: usize = 560;
/// Largest [`Record`], bytes.
const WEB_BYTES_MAX: usize = 300;

/// All that counts after a crash, but for the place in the download. It is made durable as a whole,
/// always before the deed it announces is done or told.
///
/// The image before and the image after an update read each other's: fields are only added, at the end
/// of this struct and such that zero means absent. What stands in its fields never changes its form; a
/// form that must change gets another [`FORMAT`], and what was saved in the old one is forgotten.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    pub active: Option<Active>,
    /// An upgrade that came too late to replace the one being installed; it begins after.
    pub next: Option<Order>,
    /// Oldest first.
    pub ended: Vec<Ended, ENDED_MAX>,
    /// What was installed where, newest last.
    pub installed: Vec<Installed, 2>,
    /// A new image that has still to prove itself.
    pub trial: Option<Trial>,
    /// A new image that did not.
    pub rolled_back: Option<RolledBack>,
    /// What is known of ended upgrades that are remembered no more: checksums of their ids, oldest
    /// first.
    pub known: Vec<u32, KNOWN_MAX>,
    /// The highest `releaseCounter` of a signed release that has proven itself here; it never goes
    /// down.
    pub release_counter: u64,
    /// That of the signed release that is installed and has still to prove itself.
    pub release_on_trial: Option<u64>,
    /// The newest `createdAt` of a manifest that a trusted key signed, Unix seconds: it is not earlier
    /// than that.
    pub time_floor: i64,
    /// A new web part without firmware that has still to prove itself.
    pub web: Option<WebTrial>,
}

/// An upgrade as it was ordered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// Never empty.
    pub msg_id: Text<MSG_ID_BYTES_MAX>,
    pub version: Text<VERSION_BYTES_MAX>,
    pub url: Text<URL_BYTES_MAX>,
    pub md5: [u8; 16],
    pub sha256: Option<[u8; 32]>,
    /// Bytes.
    pub file_size: u64,
    pub force: bool,
    /// Unix seconds before which the download must not begin.
    pub not_before: Option<i64>,
    /// Unix seconds by the server's clock when it was ordered.
    pub sent_at: Option<i64>,
    /// Of a bundle. Saved at the end of [`Saved`], for the form of this struct must stay.
    pub links: Option<Links>,
}

/// Where a bundle's manifest is, its signature and its web part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// One after the other: one text for all takes less room than three.
    pub(crate) urls: Text<LINKS_BYTES_MAX>,
    /// Where the manifest's URL ends in it, bytes.
    pub(crate) manifest_end: u16,
    /// Where the signature's URL ends, bytes.
    pub(crate) signature_end: u16,
}

impl Links {
    pub fn manifest(&self) -> &str {
        let url = self.urls.get(..self.manifest_end.into());
        url.unwrap_or_default()
    }

    /// Empty if the command names none.
    pub fn signature(&self) -> &str {
        let url = self
            .urls
            .get(self.manifest_end.into()..self.signature_end.into());
        url.unwrap_or_default()
    }

    /// Empty if the command names none.
    pub fn web(&self) -> &str {
        let url = self.urls.get(self.signature_end.into()..);
        url.unwrap_or_default()
    }
}

/// The upgrade that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Active {
    pub order: Order,
    /// The furthest phase it ever was in.
    pub phase: Phase,
    /// Restarts in its course that were no power cut.
    pub crashes: u8,
}

/// How far an upgrade is. It only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Downloading,
    Verifying,
    Installing,
}

impl Phase {
    pub(crate) fn state(self) -> ReportState {
        match self {
            Phase::Downloading => ReportState::Downloading,
            Phase::Verifying => ReportState::Verifying,
            Phase::Installing => ReportState::Installing,
        }
    }
}

/// An upgrade that ended: what its last report says, to be repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    pub msg_id: Text<MSG_ID_BYTES_MAX>,
    pub version: Text<VERSION_BYTES_MAX>,
    /// Percent.
    pub progress: u8,
    /// `None` if it is complete.
    pub error: Option<Failure>,
    /// The broker acknowledged the report.
    pub delivered: bool,
}

/// Why an upgrade failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    pub code: Text<ERROR_CODE_BYTES_MAX>,
    pub message: Text<ERROR_MESSAGE_BYTES_MAX>,
}

impl Ended {
    pub(crate) fn state(&self) -> ReportState {
        match self.error {
            None => ReportState::Completed,
            Some(_) => ReportState::Failed,
        }
    }
}

/// Which version lies in a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Installed {
    /// Number of the OTA slot.
    pub slot: u8,
    pub version: Text<VERSION_BYTES_MAX>,
    /// The application image's size and own SHA-256, so that one flashed by cable is not taken for
    /// it. `None` where any bytes are an image.
    pub image: Option<(u32, [u8; 32])>,
}

/// A place in the download from which it can go on after a power cut. All before it is in the
/// flash, but for the image's first bytes. Fields are added as to [`Saved`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// Whose download.
    pub msg_id: Text<MSG_ID_BYTES_MAX>,
    /// Number of the OTA slot.
    pub slot: u8,
    /// Bytes, whole sectors.
    pub offset: u32,
    /// The file's strong `ETag`, with its quotes.
    pub etag: Option<Text<ETAG_BYTES_MAX>>,
    pub head: [u8; 16],
    /// State of the running digests.
    pub md5: Vec<u8, 88>,
    pub sha256: Vec<u8, 104>,
    /// It is a place in the web part; the firmware, if there is any, is whole.
    pub(crate) is_web: bool,
    /// What of the web part before it differs from the one in the partition.
    pub(crate) changed: Changed,
}

impl Saved {
    /// Boots so far of what has still to prove itself, if there is such a thing.
    pub fn on_trial(&self) -> Option<u8> {
        let web = self.web.as_ref().map(|web| web.attempts);
        self.trial.as_ref().map(|trial| trial.attempts).or(web)
    }

    pub(crate) fn ended(&self, msg_id: &str) -> Option<&Ended> {
        self.ended.iter().find(|end| end.msg_id == msg_id)
    }

    /// Whether an upgrade of this id ended so long ago that its report is forgotten.
    pub(crate) fn is_forgotten(&self, msg_id: &str) -> bool {
        self.known.contains(&checksum(msg_id))
    }

    /// Remembers an end; the oldest that was delivered makes room for it, else the oldest that failed.
    pub(crate) fn remember(&mut self, end: Ended) {
        if self.ended.is_full() {
            let delivered = self.ended.iter().position(|end| end.delivered);
            let failed = || self.ended.iter().position(|end| end.error.is_some());
            let forgotten = self.ended.remove(delivered.or_else(failed).unwrap_or(0));
            if self.known.is_full() {
                self.known.remove(0);
            }
            let _ = self.known.push(checksum(&forgotten.msg_id));
        }
        // There is room now.
        let _ = self.ended.push(end);
    }

    /// What was installed has proven itself.
    pub(crate) fn confirm_release(&mut self) {
        let proven = self.release_on_trial.take().unwrap_or_default();
        self.release_counter = self.release_counter.max(proven);
    }

    /// Remembers which version lies in a slot.
    pub(crate) fn remember_installed(&mut self, installed: Installed) {
        self.installed.retain(|other| other.slot != installed.slot);
        if self.installed.is_full() {
            self.installed.remove(0);
        }
        let _ = self.installed.push(installed);
    }
}

fn checksum(msg_id: &str) -> u32 {
    crc32_le(u32::MAX, msg_id.as_bytes())
}

stored! {
    Links { urls manifest_end signature_end }
    Active { order phase crashes }
    Ended { msg_id version progress error delivered }
    Failure { code message }
    Installed { slot version image }
    Mark { msg_id slot offset etag head md5 sha256 is_web changed }
}

impl Stored for Saved {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let Self {
            active,
            next,
            ended,
            installed,
            trial,
            rolled_back,
            known,
            release_counter,
            release_on_trial,
            time_floor,
            web,
        } = self;
        active.pass(bytes)?;
        next.pass(bytes)?;
        ended.pass(bytes)?;
        installed.pass(bytes)?;
        trial.pass(bytes)?;
        rolled_back.pass(bytes)?;
        known.pass(bytes)?;
        release_counter.pass(bytes)?;
        release_on_trial.pass(bytes)?;
        time_floor.pass(bytes)?;
        pass_links(active.as_mut().map(|active| &mut active.order), bytes)?;
        pass_links(next.as_mut(), bytes)?;
        web.pass(bytes)
    }
}

/// Passes what [`Order`] itself leaves out.
fn pass_links(order: Option<&mut Order>, bytes: &mut Bytes<'_>) -> Option<()> {
    match order {
        Some(order) => order.links.pass(bytes),
        None => None::<Links>.pass(bytes),
    }
}

impl Stored for Order {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let Self {
            msg_id,
            version,
            url,
            md5,
            sha256,
            file_size,
            force,
            not_before,
            sent_at,
            links: _,
        } = self;
        msg_id.pass(bytes)?;
        version.pass(bytes)?;
        url.pass(bytes)?;
        md5.pass(bytes)?;
        sha256.pass(bytes)?;
        file_size.pass(bytes)?;
        force.pass(bytes)?;
        not_before.pass(bytes)?;
        sent_at.pass(bytes)
    }
}

impl Stored for Phase {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let mut number = *self as u8;
        number.pass(bytes)?;
        *self = match number {
            0 => Phase::Downloading,
            1 => Phase::Verifying,
            2 => Phase::Installing,
            _ => return None,
        };
        Some(())
    }
}

/// The NVS, and what of us lies in it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// `None` if it cannot be mounted: then nothing is remembered, and nothing can be begun.
    nvs: Option<Nvs>,
}

impl Memory {
    pub(crate) fn mount<F: NorFlash>(flash: &mut F, partition: &Partition) -> Self {
        Memory {
            nvs: Nvs::mount(flash, partition).ok(),
        }
    }

    /// What was saved; nothing if there is nothing, or it cannot be read, or is not of this format.
    pub(crate) fn load<F: NorFlash>(&mut self, flash: &mut F, saved: &mut Saved) {
        let mut buffer = [0; SAVED_BYTES_MAX];
        if self.read(flash, KEY_SAVED, &mut buffer) && stored::read(saved, &mut buffer).is_none() {
            *saved = Saved::default();
        }
    }

    /// Reads a blob into `zeros`; false if there is none. An image of another version may have written
    /// it: one that knew fewer fields at the end leaves zeros for them, which mean nothing; one that
    /// knew more has its own passed over.
    fn read<F: NorFlash>(&mut self, flash: &mut F, key: &str, zeros: &mut [u8]) -> bool {
        let found = self
            .nvs
            .as_mut()
            .map(|nvs| nvs.get_blob(flash, NAMESPACE, key, zeros));
        matches!(found, Some(Ok(Some(_)))) && zeros.first() == Some(&FORMAT)
    }

    pub(crate) fn save<F: NorFlash>(
        &mut self,
        flash: &mut F,
        saved: &mut Saved,
    ) -> Result<(), Broken> {
        self.write(flash, KEY_SAVED, saved, &mut [0; SAVED_BYTES_MAX])?;
        let attempts = match (saved.on_trial(), &saved.rolled_back) {
            (Some(attempts), _) => attempts,
            (None, Some(rolled_back)) => rolled_back.attempts,
            (None, None) => return Ok(()),
        };
        let nvs = self.nvs.as_mut().ok_or(Broken::Memory)?;
        Ok(nvs.set_u8(flash, NAMESPACE, KEY_ATTEMPTS, attempts)?)
    }

    /// Saves a value as a blob, by way of `buffer`.
    fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        key: &str,
        value: &mut dyn Stored,
        buffer: &mut [u8],
    ) -> Result<(), Broken> {
        let nvs = self.nvs.as_mut().ok_or(Broken::Memory)?;
        let length = stored::write(value, buffer).ok_or(Broken::MemoryFull)?;
        Ok(nvs.set_blob(flash, NAMESPACE, key, &buffer[..length])?)
    }

    pub(crate) fn load_mark<F: NorFlash>(&mut self, flash: &mut F) -> Option<Mark> {
        let mut buffer = [0; MARK_BYTES_MAX];
        let mut mark = Mark::default();
        let is_there = self.read(flash, KEY_MARK, &mut buffer)
            && stored::read(&mut mark, &mut buffer).is_some();
        is_there.then_some(mark)
    }

    pub(crate) fn save_mark<F: NorFlash>(
        &mut self,
        flash: &mut F,
        mark: &mut Mark,
    ) -> Result<(), Broken> {
        self.write(flash, KEY_MARK, mark, &mut [0; MARK_BYTES_MAX])
    }

    pub(crate) fn load_web<F: NorFlash>(&mut self, flash: &mut F) -> Option<Record> {
        let mut buffer = [0; WEB_BYTES_MAX];
        let mut record = Record::default();
        let is_there = self.read(flash, KEY_WEB, &mut buffer)
            && stored::read(&mut record, &mut buffer).is_some();
        is_there.then_some(record)
    }

    /// Saves the record and reads it back: what follows cannot be undone without it.
    pub(crate) fn save_web<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: &mut Record,
    ) -> Result<(), Broken> {
        self.write(flash, KEY_WEB, record, &mut [0; WEB_BYTES_MAX])?;
        match self.load_web(flash) {
            Some(back) if back == *record => Ok(()),
            _ => Err(Broken::Memory),
        }
    }

    /// Forgets the record, if there is one.
    pub(crate) fn drop_web<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), Broken> {
        match &mut self.nvs {
            Some(nvs) => Ok(nvs.erase_key(flash, NAMESPACE, KEY_WEB)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
