//! What the flash can do to a gateway.

use core::{error::Error, fmt};

use crate::{
    EspError,
    flash::{nvs::NvsError, partition_table::TableError},
};

/// The flash does not keep what must be kept. Nothing that was not saved has been done or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A slot or otadata.
    Ota(EspError),
    /// The NVS cannot be read or written.
    Memory,
    /// The NVS is full.
    MemoryFull,
}

impl From<EspError> for Broken {
    fn from(error: EspError) -> Self {
        Broken::Ota(error)
    }
}

impl<E> From<NvsError<E>> for Broken {
    fn from(error: NvsError<E>) -> Self {
        match error {
            NvsError::Full => Broken::MemoryFull,
            _ => Broken::Memory,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Ota(error) => write!(f, "the flash failed: {error}"),
            Broken::Memory => f.write_str("the NVS partition cannot be read or written"),
            Broken::MemoryFull => {
                f.write_str("the NVS partition is full; erase what is not needed or make it larger")
            }
        }
    }
}

impl Error for Broken {}

/// Why a gateway cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootError {
    /// There is no partition table that can be used.
    Table(TableError),
    /// The partition that runs is not in the table.
    NoRunningPartition,
    /// There is no NVS partition.
    NoNvs,
    Broken(Broken),
}

impl From<Broken> for BootError {
    fn from(error: Broken) -> Self {
        BootError::Broken(error)
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Table(error) => write!(f, "the partition table cannot be used: {error}"),
            BootError::NoRunningPartition => {
                f.write_str("the partition table does not have the partition that runs")
            }
            BootError::NoNvs => {
                f.write_str("the partition table has no nvs partition to keep the update in")
            }
            BootError::Broken(error) => error.fmt(f),
        }
    }
}

impl Error for BootError {}
