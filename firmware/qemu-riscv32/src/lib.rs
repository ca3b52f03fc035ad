//! The hardware of QEMU's `virt` machine, as the bootloader and the app use it.
#![no_std]

pub mod clock;
pub mod executor;
pub mod flash;
pub mod machine;
pub mod network;
pub mod start;
