//! Which sectors of a web part change.

use heapless::Vec;

use crate::stored::{Bytes, Stored};

/// Sectors of the largest web part: 4 MiB.
pub(crate) const SECTORS_MAX: u32 = 1024;

/// A set of sectors, one bit each; it has no bytes behind the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    bits: Vec<u8, { SECTORS_MAX as usize / 8 }>,
    count: u32,
}

impl Changed {
    pub(crate) fn has(&self, sector: u32) -> bool {
        let byte = self.bits.get(sector as usize / 8);
        byte.is_some_and(|byte| byte & bit(sector) != 0)
    }

    /// Adds a sector below [`SECTORS_MAX`] that is not in yet.
    pub(crate) fn add(&mut self, sector: u32) {
        let at = sector as usize / 8;
        if at >= self.bits.len() {
            // No sector is above the most there are.
            let _ = self.bits.resize(at + 1, 0);
        }
        if let Some(byte) = self.bits.get_mut(at) {
            *byte |= bit(sector);
            self.count += 1;
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// In ascending order.
    pub(crate) fn sectors(&self) -> impl Iterator<Item = u32> {
        let end = 8 * self.bits.len() as u32;
        (0..end).filter(|sector| self.has(*sector))
    }
}

fn bit(sector: u32) -> u8 {
    1 << (sector % 8)
}

impl Stored for Changed {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        self.bits.pass(bytes)?;
        self.count = self.bits.iter().map(|byte| byte.count_ones()).sum();
        Some(())
    }
}
