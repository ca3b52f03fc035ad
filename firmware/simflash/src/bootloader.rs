//! ESP-IDF's second stage bootloader, as far as it decides which application starts.
//!
//! It judges the firmware's OTA data and images, so it shares no code with them. Modelled on the
//! behaviour described in the ESP-IDF Programming Guide ("Bootloader", "Over The Air Updates", "App
//! Image Format") and measured on a real bootloader; secure boot, anti-rollback, the test application,
//! load addresses and chip revisions are left out.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use sha2::{Digest, Sha256};

use crate::table::{self, u32_at};

const SECTOR_BYTES: u32 = 4096;
const ENTRY_BYTES: usize = 32;
const STATE_AT: usize = 24;
const CRC_AT: usize = 28;
const IMAGE_MAGIC: u8 = 0xE9;
const SEGMENTS_MAX: u8 = 16;
const SEGMENT_BYTES_MAX: u32 = 16 * 1024 * 1024;
const HEADER_BYTES: u32 = 24;
const CHUNK_BYTES: u32 = 4096;

const NEW: u32 = 0;
const PENDING_VERIFY: u32 = 1;
const VALID: u32 = 2;
const INVALID: u32 = 3;
const ABORTED: u32 = 4;

/// How the bootloader was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without rollback: states NEW and PENDING_VERIFY boot like VALID, otadata is left alone.
    Stock,
    /// With `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`: PENDING_VERIFY becomes ABORTED and is not chosen,
    /// NEW becomes PENDING_VERIFY as it is booted.
    Rollback,
}

/// What counts as an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Any contents, for firmware of boards whose images have no format.
    Any,
    /// Images in the ESP format with fitting chip, checksum and, where appended, SHA-256.
    Esp,
}

/// Which application was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// The one the device was delivered with.
    Factory,
    /// The OTA slot of this number.
    Ota(u8),
    /// None: the device is a brick.
    None,
}

/// The outcome of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    /// Which application runs.
    pub app: App,
    /// Start of its partition in the flash; 0 for [`App::None`].
    pub offset: u32,
    /// Size of its partition in bytes; 0 for [`App::None`].
    pub size: u32,
    /// What was wrong with the table or with applications that would have been started before it.
    pub refused: Vec<String>,
}

/// A bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootloader {
    /// How it was built.
    pub kind: Kind,
    /// The chip it runs on, as in an image's header (ESP32 0, ESP32-C3 5).
    pub chip_id: u16,
    /// What it starts.
    pub images: Images,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u32,
    size: u32,
}

#[derive(Default)]
struct Apps {
    factory: Option<Place>,
    slots: Vec<Option<Place>>,
    otadata: Option<Place>,
}

impl Apps {
    fn from_table(entries: &[table::Entry]) -> Self {
        let mut apps = Self::default();
        let mut slots = [None; 16];
        let mut count = 0;
        for entry in entries {
            let place = Some(Place {
                offset: entry.offset,
                size: entry.size,
            });
            match (entry.kind, entry.subtype) {
                (table::APP, table::APP_FACTORY) => apps.factory = place,
                (table::APP, subtype) if subtype & 0xF0 == table::APP_OTA_0 => {
                    slots[usize::from(subtype & 0x0F)] = place;
                    count += 1;
                }
                (table::DATA, table::DATA_OTA) => apps.otadata = place,
                _ => {}
            }
        }
        apps.slots = slots[..count.min(slots.len())].to_vec();
        apps
    }

    /// The OTA slot of this number, the factory application for −1.
    fn place(&self, index: i64) -> Option<Place> {
        match usize::try_from(index) {
            Ok(slot) => self.slots.get(slot).copied().flatten(),
            Err(_) => self.factory,
        }
    }
}

#[derive(Clone, Copy)]
struct Entry([u8; ENTRY_BYTES]);

impl Entry {
    fn seq(&self) -> u32 {
        u32_at(&self.0, 0)
    }

    fn state(&self) -> u32 {
        u32_at(&self.0, STATE_AT)
    }

    fn set_state(&mut self, state: u32) {
        self.0[STATE_AT..CRC_AT].copy_from_slice(&state.to_le_bytes());
    }

    fn is_crc_right(&self) -> bool {
        u32_at(&self.0, CRC_AT) == seq_crc(self.seq())
    }

    fn is_unused(&self) -> bool {
        self.seq() == u32::MAX || self.state() == INVALID || self.state() == ABORTED
    }

    fn counts(&self) -> bool {
        !self.is_unused() && self.is_crc_right()
    }
}

/// CRC-32 over the sequence number alone, from a register of 0 as the chip's ROM is called.
fn seq_crc(seq: u32) -> u32 {
    let mut register = 0_u32;
    for byte in seq.to_le_bytes() {
        register ^= u32::from(byte);
        for _ in 0..8 {
            let low = register & 1;
            register = (register >> 1) ^ (0xEDB8_8320 * low);
        }
    }
    !register
}

/// An otadata entry as the bootloader reads it, for tests that prepare or look at the partition.
pub fn otadata_entry(seq: u32, state: u32) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0xFF; ENTRY_BYTES];
    bytes[..4].copy_from_slice(&seq.to_le_bytes());
    bytes[STATE_AT..CRC_AT].copy_from_slice(&state.to_le_bytes());
    bytes[CRC_AT..].copy_from_slice(&seq_crc(seq).to_le_bytes());
    bytes
}

impl Bootloader {
    /// Decides which application starts and changes otadata as the bootloader does on the way.
    ///
    /// # Errors
    /// Those of reading the flash, so also a power cut in one of its writes. Failing writes on a flash
    /// that can still be read do not stop it.
    pub fn boot<F: NorFlash>(&self, flash: &mut F) -> Result<Booted, F::Error> {
        let mut refused = Vec::new();
        let apps = match table::read(flash)? {
            Ok(entries) => Apps::from_table(&entries),
            Err(reason) => {
                refused.push(reason.to_owned());
                return Ok(brick(refused));
            }
        };
        let Some(selected) = self.select(flash, &apps)? else {
            refused.push("otadata is smaller than two sectors".to_owned());
            return Ok(brick(refused));
        };
        let last = apps.slots.len() as i64;
        let downwards = (-1..=selected.index).rev();
        for index in downwards.chain(selected.index + 1..last) {
            let Some(place) = apps.place(index).filter(|place| place.size > 0) else {
                continue;
            };
            let app = u8::try_from(index).map_or(App::Factory, App::Ota);
            if self.images == Images::Esp
                && let Err(reason) = check_image(flash, place, self.chip_id)?
            {
                refused.push(format!("{app:?}: {reason}"));
                continue;
            }
            if let (Some(otadata), Ok(slot)) = (selected.blank_otadata, u32::try_from(index)) {
                let entry = Entry(otadata_entry(slot + 1, VALID));
                write_entry(flash, otadata, 0, &entry)?;
            }
            return Ok(Booted {
                app,
                offset: place.offset,
                size: place.size,
                refused,
            });
        }
        Ok(brick(refused))
    }

    fn select<F: NorFlash>(
        &self,
        flash: &mut F,
        apps: &Apps,
    ) -> Result<Option<Selected>, F::Error> {
        let Some(otadata) = apps.otadata else {
            return Ok(Some(Selected::FACTORY));
        };
        if otadata.size < 2 * SECTOR_BYTES {
            return Ok(None);
        }
        let mut entries = [Entry([0; ENTRY_BYTES]); 2];
        for (which, entry) in (0..).zip(&mut entries) {
            flash.read(otadata.offset + which * SECTOR_BYTES, &mut entry.0)?;
        }
        if self.kind == Kind::Rollback {
            for (which, entry) in (0..).zip(&mut entries) {
                if entry.state() == PENDING_VERIFY {
                    entry.set_state(ABORTED);
                    write_entry(flash, otadata, which, entry)?;
                }
            }
        }
        if entries.iter().all(Entry::is_unused) || apps.slots.is_empty() {
            if apps.factory.is_some() {
                return Ok(Some(Selected::FACTORY));
            }
            let blank = |entry: &Entry| entry.seq() == u32::MAX || !entry.is_crc_right();
            return Ok(Some(Selected {
                index: 0,
                blank_otadata: entries.iter().all(blank).then_some(otadata),
            }));
        }
        let active = match (entries[0].counts(), entries[1].counts()) {
            (true, true) => u32::from(entries[1].seq() > entries[0].seq()),
            (true, false) => 0,
            (false, true) => 1,
            (false, false) => return Ok(Some(Selected::FACTORY)),
        };
        let entry = &mut entries[active as usize];
        if self.kind == Kind::Rollback && entry.state() == NEW {
            entry.set_state(PENDING_VERIFY);
            write_entry(flash, otadata, active, entry)?;
        }
        let slot = entry.seq().wrapping_sub(1) as usize % apps.slots.len();
        Ok(Some(Selected {
            index: slot as i64,
            blank_otadata: None,
        }))
    }
}

/// Where the search for an application begins.
struct Selected {
    /// As in [`Apps::place`].
    index: i64,
    /// Set where a first boot into a slot is noted in otadata.
    blank_otadata: Option<Place>,
}

impl Selected {
    const FACTORY: Self = Self {
        index: -1,
        blank_otadata: None,
    };
}

fn brick(refused: Vec<String>) -> Booted {
    Booted {
        app: App::None,
        offset: 0,
        size: 0,
        refused,
    }
}

/// Rewrites one entry in place. The bootloader goes on if that fails, but without power it does not: the
/// read finds out.
fn write_entry<F: NorFlash>(
    flash: &mut F,
    otadata: Place,
    which: u32,
    entry: &Entry,
) -> Result<(), F::Error> {
    let start = otadata.offset + which * SECTOR_BYTES;
    let erased = flash.erase(start, start + SECTOR_BYTES);
    if erased.and_then(|()| flash.write(start, &entry.0)).is_err() {
        flash.read(start, &mut [0; ENTRY_BYTES])?;
    }
    Ok(())
}

/// Reads an image from its beginning, hashing what passes.
struct Reader<'f, F> {
    flash: &'f mut F,
    place: Place,
    at: u32,
    hash: Sha256,
}

impl<F: ReadNorFlash> Reader<'_, F> {
    /// The next `length` bytes, `None` if the partition ends before.
    fn next(&mut self, length: u32) -> Result<Option<Vec<u8>>, F::Error> {
        if length > self.place.size - self.at {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.flash.read(self.place.offset + self.at, &mut bytes)?;
        self.at += length;
        self.hash.update(&bytes);
        Ok(Some(bytes))
    }
}

type Check<E> = Result<Result<(), &'static str>, E>;

const TOO_LONG: &str = "the image is longer than its partition";

fn check_image<F: ReadNorFlash>(flash: &mut F, place: Place, chip_id: u16) -> Check<F::Error> {
    let mut reader = Reader {
        flash,
        place,
        at: 0,
        hash: Sha256::new(),
    };
    let Some(header) = reader.next(HEADER_BYTES)? else {
        return Ok(Err(TOO_LONG));
    };
    if header[0] != IMAGE_MAGIC {
        return Ok(Err("the image has a wrong magic number"));
    }
    if u16::from_le_bytes([header[12], header[13]]) != chip_id {
        return Ok(Err("the image is for another chip"));
    }
    if header[1] > SEGMENTS_MAX {
        return Ok(Err("the image has too many segments"));
    }
    let mut checksum = 0xEF;
    for _ in 0..header[1] {
        if let Err(reason) = check_segment(&mut reader, &mut checksum)? {
            return Ok(Err(reason));
        }
    }
    let padding = 16 - reader.at % 16;
    match reader.next(padding)? {
        None => return Ok(Err(TOO_LONG)),
        Some(bytes) if bytes.last() != Some(&checksum) => {
            return Ok(Err("the image's checksum is wrong"));
        }
        Some(_) => {}
    }
    if header[23] == 0 {
        return Ok(Ok(()));
    }
    let computed = reader.hash.clone().finalize();
    match reader.next(32)? {
        None => Ok(Err(TOO_LONG)),
        Some(appended) if appended[..] != computed[..] => Ok(Err("the image's SHA-256 is wrong")),
        Some(_) => Ok(Ok(())),
    }
}

fn check_segment<F: ReadNorFlash>(
    reader: &mut Reader<'_, F>,
    checksum: &mut u8,
) -> Check<F::Error> {
    let Some(header) = reader.next(8)? else {
        return Ok(Err(TOO_LONG));
    };
    let mut left = u32_at(&header, 4);
    if left >= SEGMENT_BYTES_MAX || !left.is_multiple_of(4) {
        return Ok(Err("the image has a segment of an impossible length"));
    }
    while left > 0 {
        let length = left.min(CHUNK_BYTES);
        let Some(bytes) = reader.next(length)? else {
            return Ok(Err(TOO_LONG));
        };
        *checksum = bytes.iter().fold(*checksum, |sum, byte| sum ^ byte);
        left -= length;
    }
    Ok(Ok(()))
}
