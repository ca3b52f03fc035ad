//! One simulated flash that the gateway, the bootloader and the test hold together.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    rc::Rc,
};

use airlift_simflash::{SimError, SimFlash};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// What a part of the flash does to writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wear {
    /// They fail.
    Fails,
    /// They seem to succeed and do nothing.
    Lies,
}

/// A part of the flash, and what it does.
type Worn = (Range<u32>, Wear);

#[derive(Clone)]
pub struct Flash {
    pub sim: Rc<RefCell<SimFlash>>,
    worn: Rc<RefCell<Vec<Worn>>>,
    /// Of a smaller chip, bytes.
    capacity: Rc<Cell<Option<usize>>>,
}

impl Flash {
    pub fn new(sim: SimFlash) -> Self {
        Flash {
            sim: Rc::new(RefCell::new(sim)),
            worn: Rc::default(),
            capacity: Rc::default(),
        }
    }

    pub fn wear_out(&self, area: Range<u32>, how: Wear) {
        self.worn.borrow_mut().push((area, how));
    }

    /// The chip tells a smaller size.
    pub fn shrink_to(&self, bytes: usize) {
        self.capacity.set(Some(bytes));
    }

    fn wear(&self, offset: u32) -> Option<Wear> {
        let worn = self.worn.borrow();
        let here = worn.iter().find(|(area, _)| area.contains(&offset));
        here.map(|(_, how)| *how)
    }
}

impl ErrorType for Flash {
    type Error = SimError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = SimFlash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.sim.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        let capacity = self.capacity.get();
        capacity.unwrap_or_else(|| self.sim.borrow().size())
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = SimFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = SimFlash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        match self.wear(from) {
            None => self.sim.borrow_mut().erase(from, to),
            Some(Wear::Fails) => Err(SimError::WornOut),
            Some(Wear::Lies) => Ok(()),
        }
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        match self.wear(offset) {
            None => self.sim.borrow_mut().write(offset, bytes),
            Some(Wear::Fails) => Err(SimError::WornOut),
            Some(Wear::Lies) => Ok(()),
        }
    }
}

/// Of the operations of a recovery, every so manieth is cut after one first cut; the next first cut
/// takes the ones beside them. `AIRLIFT_CUT_STRIDE=1` cuts every one.
pub fn second_cut_stride(default: usize) -> usize {
    match std::env::var("AIRLIFT_CUT_STRIDE") {
        Ok(stride) => stride
            .parse::<std::num::NonZeroUsize>()
            .expect("AIRLIFT_CUT_STRIDE is a number from 1 on")
            .get(),
        Err(_) => default,
    }
}
