//! One page: a sector of the flash with a header, two bits of state for each entry, and 126
//! entries. Bits are only ever cleared until the whole page is erased.

use core::ops::Range;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::entry::{CRC_INITIAL, ENTRY_BYTES, Entry};
use crate::flash::{SECTOR_BYTES, crc32::crc32_le};

pub(super) const ENTRIES: u8 = 126;
/// The format's second version, with blobs in chunks; versions count down.
const VERSION: u8 = 0xfe;

const ACTIVE: u32 = 0xffff_fffe;
pub(super) const FULL: u32 = 0xffff_fffc;
pub(super) const FREEING: u32 = 0xffff_fff8;

/// What a page's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Blank, or without a header that fits: nothing in it counts.
    Free,
    Active {
        seq: u32,
    },
    Full {
        seq: u32,
    },
    /// Its items are being moved.
    Freeing {
        seq: u32,
    },
    /// Of a version of the format that is not known here.
    Newer,
}

impl Page {
    pub(super) fn seq(self) -> Option<u32> {
        match self {
            Self::Free | Self::Newer => None,
            Self::Active { seq } | Self::Full { seq } | Self::Freeing { seq } => Some(seq),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Empty,
    Written,
    Erased,
    /// On the way from empty to erased: a power cut.
    Torn,
}

/// The states of a page's entries, two bits each.
pub(super) struct States([u8; ENTRY_BYTES]);

impl States {
    pub(super) fn empty() -> Self {
        Self([0xff; ENTRY_BYTES])
    }

    pub(super) fn get(&self, index: u8) -> State {
        match self.0[usize::from(index / 4)] >> (index % 4 * 2) & 0b11 {
            0b11 => State::Empty,
            0b10 => State::Written,
            0b01 => State::Torn,
            _ => State::Erased,
        }
    }

    pub(super) fn set(&mut self, index: u8, state: State) {
        let cleared = match state {
            State::Empty => 0b00,
            State::Written => 0b01,
            State::Torn => 0b10,
            State::Erased => 0b11,
        };
        self.0[usize::from(index / 4)] &= !(cleared << (index % 4 * 2));
    }

    pub(super) fn all(&self, mut indexes: Range<u8>, state: State) -> bool {
        indexes.all(|index| self.get(index) == state)
    }

    /// Entries that hold something.
    pub(super) fn used(&self) -> u8 {
        (0..ENTRIES)
            .filter(|index| self.get(*index) == State::Written)
            .count() as u8
    }
}

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) page: u8,
    pub(super) index: u8,
}

/// Where the pages lie in the flash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) offset: u32,
    pub(super) pages: u8,
}

impl Layout {
    fn page(&self, page: u8) -> u32 {
        self.offset + u32::from(page) * SECTOR_BYTES
    }

    fn entry(&self, place: Place) -> u32 {
        self.page(place.page) + (2 + u32::from(place.index)) * ENTRY_BYTES as u32
    }

    pub(super) fn header<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u8,
    ) -> Result<Page, F::Error> {
        let mut bytes = [0; ENTRY_BYTES];
        flash.read(self.page(page), &mut bytes)?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if word(28) != crc32_le(CRC_INITIAL, &bytes[4..28]) {
            return Ok(Page::Free);
        }
        let seq = word(4);
        Ok(match word(0) {
            ACTIVE | FULL | FREEING if bytes[8] < VERSION => Page::Newer,
            ACTIVE => Page::Active { seq },
            FULL => Page::Full { seq },
            FREEING => Page::Freeing { seq },
            _ => Page::Free,
        })
    }

    pub(super) fn states<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u8,
    ) -> Result<States, F::Error> {
        let mut states = States::empty();
        flash.read(self.page(page) + ENTRY_BYTES as u32, &mut states.0)?;
        Ok(states)
    }

    pub(super) fn read<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        place: Place,
    ) -> Result<Entry, F::Error> {
        let mut bytes = [0; ENTRY_BYTES];
        flash.read(self.entry(place), &mut bytes)?;
        Ok(Entry(bytes))
    }

    /// Writes whole entries from there on.
    pub(super) fn write<F: NorFlash>(
        &self,
        flash: &mut F,
        place: Place,
        bytes: &[u8],
    ) -> Result<(), F::Error> {
        flash.write(self.entry(place), bytes)
    }

    /// Gives these entries that state.
    pub(super) fn mark<F: NorFlash>(
        &self,
        flash: &mut F,
        page: u8,
        indexes: Range<u8>,
        state: State,
    ) -> Result<(), F::Error> {
        let (Some(first), Some(last)) = (indexes.clone().next(), indexes.clone().next_back())
        else {
            return Ok(());
        };
        let mut states = self.states(flash, page)?;
        for index in indexes {
            states.set(index, state);
        }
        // A word has the states of 16 entries.
        let words = usize::from(first / 16) * 4..usize::from(last / 16 + 1) * 4;
        let at = self.page(page) + (ENTRY_BYTES + words.start) as u32;
        flash.write(at, &states.0[words])
    }

    pub(super) fn write_states<F: NorFlash>(
        &self,
        flash: &mut F,
        page: u8,
        states: &States,
    ) -> Result<(), F::Error> {
        flash.write(self.page(page) + ENTRY_BYTES as u32, &states.0)
    }

    /// Erases an item. Its head goes last and alone: bytes of a value must never be taken for the
    /// head of an item because the power failed.
    pub(super) fn erase_item<F: NorFlash>(
        &self,
        flash: &mut F,
        place: Place,
        span: u8,
    ) -> Result<(), F::Error> {
        let Place { page, index } = place;
        self.mark(flash, page, index + 1..index + span, State::Erased)?;
        self.mark(flash, page, index..index + 1, State::Erased)
    }

    /// Reads the bytes behind an item's head and hands them on, 32 at most at a time with their
    /// offset; tells whether their checksum fits.
    #[inline(never)]
    pub(super) fn read_data<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        place: Place,
        head: &Entry,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<bool, F::Error> {
        let size = head.size();
        let mut crc = CRC_INITIAL;
        for number in 1..head.span() {
            let offset = usize::from(number - 1) * ENTRY_BYTES;
            let length = size.saturating_sub(offset).min(ENTRY_BYTES);
            let index = place.index + number;
            let entry = self.read(flash, Place { index, ..place })?;
            crc = crc32_le(crc, &entry.0[..length]);
            take(offset, &entry.0[..length]);
        }
        let held = usize::from(head.span() - 1) * ENTRY_BYTES;
        Ok(size <= held && crc == head.data_crc())
    }

    /// Begins a blank page.
    pub(super) fn begin<F: NorFlash>(
        &self,
        flash: &mut F,
        page: u8,
        seq: u32,
    ) -> Result<(), F::Error> {
        let mut bytes = [0xff; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&ACTIVE.to_le_bytes());
        bytes[4..8].copy_from_slice(&seq.to_le_bytes());
        bytes[8] = VERSION;
        let crc = crc32_le(CRC_INITIAL, &bytes[4..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        flash.write(self.page(page), &bytes)
    }

    pub(super) fn set_state<F: NorFlash>(
        &self,
        flash: &mut F,
        page: u8,
        state: u32,
    ) -> Result<(), F::Error> {
        flash.write(self.page(page), &state.to_le_bytes())
    }

    pub(super) fn is_blank<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u8,
    ) -> Result<bool, F::Error> {
        let mut bytes = [0; ENTRY_BYTES];
        for offset in (0..SECTOR_BYTES).step_by(ENTRY_BYTES) {
            flash.read(self.page(page) + offset, &mut bytes)?;
            if bytes != [0xff; ENTRY_BYTES] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Erases a page. Its header is made void before: an erasure that the power cuts short could
    /// leave it as it was and bring erased entries back.
    pub(super) fn wipe<F: NorFlash>(&self, flash: &mut F, page: u8) -> Result<(), F::Error> {
        let at = self.page(page);
        flash.write(at, &[0; ENTRY_BYTES])?;
        flash.erase(at, at + SECTOR_BYTES)
    }
}

/// Goes through the items of some pages, heads only.
pub(super) struct Items {
    /// One bit each: the pages that are still to come, and the one at work.
    pages: u32,
    index: u8,
    states: Option<States>,
}

impl Items {
    /// `pages`: one bit each.
    pub(super) fn of(pages: u32) -> Self {
        Self {
            pages,
            index: 0,
            states: None,
        }
    }

    pub(super) fn next<F: ReadNorFlash>(
        &mut self,
        flash: &mut F,
        layout: Layout,
    ) -> Result<Option<(Place, Entry)>, F::Error> {
        while self.pages != 0 {
            let page = self.pages.trailing_zeros() as u8;
            let states = match &self.states {
                Some(states) => states,
                None => self.states.insert(layout.states(flash, page)?),
            };
            while self.index < ENTRIES {
                let place = Place {
                    page,
                    index: self.index,
                };
                self.index += 1;
                if states.get(place.index) != State::Written {
                    continue;
                }
                let entry = layout.read(flash, place)?;
                if entry.is_item() && entry.span() <= ENTRIES - place.index {
                    self.index = place.index + entry.span();
                    return Ok(Some((place, entry)));
                }
            }
            self.pages &= self.pages - 1;
            self.index = 0;
            self.states = None;
        }
        Ok(None)
    }
}
