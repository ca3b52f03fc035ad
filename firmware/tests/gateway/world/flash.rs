//! One simulated flash that the gateway, the bootloader and the test hold together.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use airlift_simflash::{SimError, SimFlash};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// Where the slots begin.
const SLOTS_AT: u32 = 0x1_0000;

#[derive(Clone)]
pub struct Flash {
    pub sim: Rc<RefCell<SimFlash>>,
    /// The slots take no more writes.
    pub is_slot_worn: Rc<Cell<bool>>,
}

impl Flash {
    pub fn new(sim: SimFlash) -> Self {
        Flash {
            sim: Rc::new(RefCell::new(sim)),
            is_slot_worn: Rc::new(Cell::new(false)),
        }
    }

    fn check(&self, offset: u32) -> Result<(), SimError> {
        match self.is_slot_worn.get() && offset >= SLOTS_AT {
            true => Err(SimError::WornOut),
            false => Ok(()),
        }
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
        self.sim.borrow().size()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = SimFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = SimFlash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        self.check(from)?;
        self.sim.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.check(offset)?;
        self.sim.borrow_mut().write(offset, bytes)
    }
}
