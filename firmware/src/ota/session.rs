//! One update: its bytes on their way into a slot, and back out to be judged.

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest, Sha256};

use super::{Handle, ImageSize, Images, Ota, Verified};
use crate::{
    EspError,
    flash::{
        SECTOR_BYTES,
        image::Verifier,
        partition_table::{AppKind, Kind, Partition},
    },
    text::text,
};

/// First byte of an application image.
const IMAGE_MAGIC: u8 = 0xE9;
/// Bytes held back until the image is verified.
pub const HEAD_BYTES: usize = 16;
/// Written at a time: a page of the flash chip.
const PAGE_BYTES: usize = 256;
/// Read at a time while verifying.
const READ_BYTES: usize = 256;

pub(super) struct Session {
    handle: Handle,
    partition: Partition,
    slot: u8,
    /// Most bytes that may come.
    limit: u32,
    /// Bytes taken.
    written: u32,
    /// Bytes from the start that are erased.
    erased: u32,
    head: [u8; HEAD_BYTES],
    /// The page being filled.
    page: [u8; PAGE_BYTES],
    /// It has bytes that are not in the flash yet.
    is_page_begun: bool,
    stage: Stage,
}

enum Stage {
    Writing,
    Reading(Reading),
    Verified(Verified),
}

/// How far the reading back is.
struct Reading {
    offset: u32,
    sha256: Sha256,
    image: Option<Verifier>,
}

impl<F: NorFlash> Ota<F> {
    /// Opens the one session.
    pub fn begin(&mut self, partition: &Partition, size: ImageSize) -> Result<Handle, EspError> {
        let Kind::App(AppKind::Ota(slot)) = partition.kind else {
            return Err(EspError::InvalidArg);
        };
        if self.table.ota(slot) != Some(partition) {
            return Err(EspError::NotFound);
        }
        if *partition == self.running {
            return Err(EspError::OtaPartitionConflict);
        }
        if self.session.is_some() {
            return Err(EspError::InvalidState);
        }
        if self.otadata.is_none() {
            return Err(EspError::OtaSelectInfoInvalid);
        }
        let limit = match size {
            ImageSize::Bytes(bytes) if bytes > partition.size => return Err(EspError::InvalidSize),
            ImageSize::Bytes(bytes) => bytes,
            ImageSize::Unknown | ImageSize::SequentialWrites => partition.size,
        };
        if self.pending_verify()? {
            return Err(EspError::OtaRollbackInvalidState);
        }
        self.handle_last = self.handle_last.wrapping_add(1);
        let handle = Handle(self.handle_last);
        self.session = Some(Session {
            handle,
            partition: partition.clone(),
            slot,
            limit,
            written: 0,
            erased: 0,
            head: [0xFF; HEAD_BYTES],
            page: [0xFF; PAGE_BYTES],
            is_page_begun: false,
            stage: Stage::Writing,
        });
        Ok(handle)
    }

    /// Opens a session that goes on at `offset`, whole sectors or a whole image that was
    /// [settled](Self::settle), with the `head` that [`Self::head`] told then: ESP-IDF's
    /// `esp_ota_resume`.
    pub fn resume(
        &mut self,
        partition: &Partition,
        size: ImageSize,
        offset: u32,
        head: [u8; HEAD_BYTES],
    ) -> Result<Handle, EspError> {
        if !offset.is_multiple_of(SECTOR_BYTES) && size != ImageSize::Bytes(offset) {
            return Err(EspError::InvalidArg);
        }
        let handle = self.begin(partition, size)?;
        let session = self.session(handle)?;
        if offset > session.limit {
            self.session = None;
            return Err(EspError::InvalidSize);
        }
        (session.written, session.head) = (offset, head);
        session.erased = offset.next_multiple_of(SECTOR_BYTES);
        Ok(handle)
    }

    /// Puts the end of an image that is whole into the flash, all but its first bytes, so that a
    /// session can be resumed there.
    pub fn settle(&mut self, handle: Handle) -> Result<(), EspError> {
        let session = self.session(handle)?;
        if session.written < session.limit {
            return Err(EspError::InvalidState);
        }
        match session.is_page_begun {
            true => self.flush(handle),
            false => Ok(()),
        }
    }

    /// The first bytes, which are not in the flash yet.
    pub fn head(&mut self, handle: Handle) -> Result<[u8; HEAD_BYTES], EspError> {
        Ok(self.session(handle)?.head)
    }

    /// Takes the next bytes.
    pub fn write(&mut self, handle: Handle, mut bytes: &[u8]) -> Result<(), EspError> {
        let images = self.images;
        let session = self.session(handle)?;
        if !matches!(session.stage, Stage::Writing) {
            return Err(EspError::InvalidState);
        }
        if bytes.len() as u64 > u64::from(session.limit - session.written) {
            return Err(EspError::InvalidSize);
        }
        let is_app = images != Images::Any;
        if session.written == 0 && is_app && bytes.first().is_some_and(|b| *b != IMAGE_MAGIC) {
            return Err(EspError::OtaValidateFailed);
        }
        while !bytes.is_empty() {
            let session = self.session(handle)?;
            let at = session.written as usize % PAGE_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_BYTES - at));
            session.page[at..at + now.len()].copy_from_slice(now);
            if (session.written as usize) < HEAD_BYTES {
                let end = (at + now.len()).min(HEAD_BYTES);
                session.head[at..end].copy_from_slice(&session.page[at..end]);
                session.page[at..end].fill(0xFF);
            }
            session.written += now.len() as u32;
            session.is_page_begun = true;
            if at + now.len() == PAGE_BYTES {
                self.flush(handle)?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes the page being filled.
    fn flush(&mut self, handle: Handle) -> Result<(), EspError> {
        self.verified = None;
        let session = session(&mut self.session, handle)?;
        let filled = (session.written as usize + PAGE_BYTES - 1) % PAGE_BYTES + 1;
        let start = session.written - filled as u32;
        if start >= session.erased {
            let from = session.partition.offset + session.erased;
            self.flash
                .erase(from, from + SECTOR_BYTES)
                .map_err(|_| EspError::FlashOpFail)?;
            session.erased += SECTOR_BYTES;
        }
        let whole = filled.next_multiple_of(F::WRITE_SIZE);
        self.flash
            .write(session.partition.offset + start, &session.page[..whole])
            .map_err(|_| EspError::FlashOpFail)?;
        session.page.fill(0xFF);
        session.is_page_begun = false;
        Ok(())
    }

    /// Reads at most `budget` bytes of the image back and judges them. `None`: not all is read yet.
    /// After this nothing more can be written. An image that is not valid ends the session.
    pub fn verify(&mut self, handle: Handle, budget: u32) -> Result<Option<Verified>, EspError> {
        self.session(handle)?;
        self.verify_some(handle, budget).inspect_err(|_| {
            self.session = None;
        })
    }

    fn verify_some(&mut self, handle: Handle, budget: u32) -> Result<Option<Verified>, EspError> {
        if matches!(self.session(handle)?.stage, Stage::Writing) {
            self.begin_reading(handle)?;
        }
        let session = session(&mut self.session, handle)?;
        let reading = match &mut session.stage {
            Stage::Reading(reading) => reading,
            Stage::Verified(verified) => return Ok(Some(verified.clone())),
            Stage::Writing => return Err(EspError::InvalidState),
        };
        let end = session.written.min(reading.offset.saturating_add(budget));
        let mut buffer = [0; READ_BYTES];
        while reading.offset < end {
            let length = (session.written - reading.offset).min(READ_BYTES as u32) as usize;
            let aligned = length.next_multiple_of(F::READ_SIZE);
            let from = session.partition.offset + reading.offset;
            let read = self.flash.read(from, &mut buffer[..aligned]);
            read.map_err(|_| EspError::FlashOpFail)?;
            if reading.offset == 0 {
                let held = length.min(HEAD_BYTES);
                buffer[..held].copy_from_slice(&session.head[..held]);
            }
            reading.take(&buffer[..length])?;
        }
        if reading.offset < session.written {
            return Ok(None);
        }
        let verified = reading.judge()?;
        session.stage = Stage::Verified(verified.clone());
        Ok(Some(verified))
    }

    fn begin_reading(&mut self, handle: Handle) -> Result<(), EspError> {
        let images = self.images;
        let session = self.session(handle)?;
        if session.written == 0 {
            return Err(EspError::InvalidArg);
        }
        let size_max = session.partition.size;
        let is_page_begun = session.is_page_begun;
        session.stage = Stage::Reading(Reading {
            offset: 0,
            sha256: Sha256::new(),
            image: match images {
                Images::Any => None,
                Images::App(chip) => Some(Verifier::new(chip, size_max)),
            },
        });
        if is_page_begun {
            self.flush(handle)?;
        }
        Ok(())
    }

    /// Verifies what was not verified yet, makes the slot bootable and closes the session; it is
    /// closed after an error too.
    pub fn end(&mut self, handle: Handle) -> Result<Verified, EspError> {
        let verified = self
            .verify(handle, u32::MAX)?
            .ok_or(EspError::InvalidState)?;
        let session = self.session.take().ok_or(EspError::NotFound)?;
        let length = (session.written as usize).min(HEAD_BYTES);
        let mut head = [0xFF; HEAD_BYTES];
        head[..length].copy_from_slice(&session.head[..length]);
        let mut back = [0; HEAD_BYTES];
        self.flash
            .write(session.partition.offset, &head)
            .and_then(|()| self.flash.read(session.partition.offset, &mut back))
            .map_err(|_| EspError::FlashOpFail)?;
        if back != head {
            return Err(EspError::FlashOpFail);
        }
        self.verified = Some(session.slot);
        Ok(verified)
    }

    /// Closes the session; the slot stays unbootable.
    pub fn abort(&mut self, handle: Handle) -> Result<(), EspError> {
        self.session(handle)?;
        self.session = None;
        Ok(())
    }

    fn session(&mut self, handle: Handle) -> Result<&mut Session, EspError> {
        session(&mut self.session, handle)
    }
}

impl Reading {
    fn take(&mut self, bytes: &[u8]) -> Result<(), EspError> {
        self.sha256.update(bytes);
        self.offset += bytes.len() as u32;
        let image = self.image.as_mut();
        image
            .map_or(Ok(()), |image| image.update(bytes))
            .map_err(|_| EspError::OtaValidateFailed)
    }

    fn judge(&mut self) -> Result<Verified, EspError> {
        let info = self
            .image
            .take()
            .map(Verifier::finish)
            .transpose()
            .map_err(|_| EspError::OtaValidateFailed)?;
        // A bootloader is a valid image too, but no application.
        if info.as_ref().is_some_and(|info| info.descriptor.is_none()) {
            return Err(EspError::OtaValidateFailed);
        }
        Ok(Verified {
            bytes: self.offset,
            sha256: self.sha256.finalize_reset().into(),
            image: info.as_ref().map(|info| (info.size, info.sha256)),
            version: info
                .and_then(|info| info.descriptor)
                .map(|descriptor| text(format_args!("{}", descriptor.version))),
        })
    }
}

/// The session that `handle` names.
fn session(session: &mut Option<Session>, handle: Handle) -> Result<&mut Session, EspError> {
    session
        .as_mut()
        .filter(|session| session.handle == handle)
        .ok_or(EspError::NotFound)
}
