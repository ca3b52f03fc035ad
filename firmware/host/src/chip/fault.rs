//! Power cuts: which operation they hit, and what they leave of it.

use airlift_simflash::Random;

use super::{ChipError, ERASED, WORD_BYTES};

/// A power cut to come.
#[derive(Clone, Debug)]
pub struct PowerCut {
    /// Writes and erases that still succeed.
    pub after_operations: u64,
    /// What is left of the one that does not.
    pub random: Random,
}

/// Whether the chip has power, and how long still.
#[derive(Clone, Debug, Default)]
pub(super) struct Power {
    cut: Option<PowerCut>,
    off: bool,
}

impl Power {
    pub(super) fn on(cut: Option<PowerCut>) -> Self {
        Power { cut, off: false }
    }

    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    /// Counts a write or erase; with a generator it is to be torn.
    pub(super) fn next_operation(&mut self) -> Result<Option<Random>, ChipError> {
        if self.off {
            return Err(ChipError::PowerCut);
        }
        let Some(cut) = &mut self.cut else {
            return Ok(None);
        };
        if let Some(left) = cut.after_operations.checked_sub(1) {
            cut.after_operations = left;
            return Ok(None);
        }
        self.off = true;
        Ok(self.cut.take().map(|cut| cut.random))
    }
}

/// Leaves nothing, all, or some words and of the next some bits.
pub(super) fn tear_write(held: &mut [u8], bytes: &[u8], mut random: Random) {
    let whole = match random.below(4) {
        0 => 0,
        1 => bytes.len(),
        _ => random.below(bytes.len() / WORD_BYTES) * WORD_BYTES,
    };
    for (at, (held, byte)) in held.iter_mut().zip(bytes).enumerate() {
        if at < whole {
            *held &= byte;
        } else if whole > 0 && at < whole + WORD_BYTES {
            *held &= byte | random.byte();
        }
    }
}

/// Leaves nothing, all, or of each byte the old, an erased or an undefined one.
pub(super) fn tear_erase(sector: &mut [u8], mut random: Random) {
    match random.below(4) {
        0 => {}
        1 => sector.fill(ERASED),
        _ => {
            for byte in sector {
                match random.below(3) {
                    0 => {}
                    1 => *byte = ERASED,
                    _ => *byte = random.byte(),
                }
            }
        }
    }
}
