//! The bootloader: chooses the app as ESP-IDF's second-stage bootloader does, verifies it, copies it
//! to where it is linked and starts it.
//!
//! Source: ESP-IDF, "Bootloader" and "App Rollback"; `bootloader_utility_get_selected_boot_partition`.
#![no_std]
#![no_main]

use core::{arch::asm, ops::Range, slice};

use airlift_firmware::flash::{
    image::{self, ChipId},
    otadata::{Entry, Otadata, State},
    partition_table::{Partition, PartitionTable},
};
use airlift_qemu_riscv32::{
    flash::{FlashError, VirtFlash},
    machine::{self, APP_CODE, APP_RAM, SLOT_FACTORY},
    say,
};
use embedded_storage::nor_flash::ReadNorFlash;

/// This byte at the start of the flash, where a real chip has its bootloader, makes this one behave
/// as if built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
const WITH_ROLLBACK: u8 = b'R';
/// Sizes and places in an image's header.
const HEADER_BYTES: u32 = 24;
const SEGMENT_HEADER_BYTES: u32 = 8;

#[unsafe(no_mangle)]
extern "C" fn airlift_main() -> ! {
    let mut flash = VirtFlash::new();
    match boot(&mut flash) {
        Ok(None) => say!("bootloader: no bootable image"),
        Ok(Some((slot, entry))) => start(slot, entry),
        Err(error) => say!("bootloader: no bootable image: {error}"),
    }
    machine::fail(1)
}

/// Copies the app that boots to where it is linked; its slot and where it begins.
fn boot(flash: &mut VirtFlash) -> Result<Option<(u32, u32)>, FlashError> {
    let table = match PartitionTable::read(flash) {
        Ok(table) => table,
        Err(error) => {
            say!("bootloader: the partition table cannot be used: {error}");
            return Ok(None);
        }
    };
    let Some(first) = select(flash, &table)? else {
        return Ok(try_factory(flash, &table));
    };
    // The selected one, those before it, the factory app, those behind it.
    let slots = table.ota_slots_count();
    let lower = (0..=first)
        .rev()
        .find_map(|slot| try_slot(flash, &table, slot));
    if lower.is_some() {
        return Ok(lower);
    }
    if let Some(factory) = try_factory(flash, &table) {
        return Ok(Some(factory));
    }
    Ok((first + 1..slots).find_map(|slot| try_slot(flash, &table, slot)))
}

/// The OTA slot that otadata selects; `None` for the factory app.
fn select(flash: &mut VirtFlash, table: &PartitionTable) -> Result<Option<u8>, FlashError> {
    let default = table.factory().is_none().then_some(0);
    let Some(partition) = table.find_otadata() else {
        return Ok(default);
    };
    let mut otadata = Otadata::read(flash, partition)?;
    let mut mode = [0];
    flash.read(0, &mut mode)?;
    let has_rollback = mode == [WITH_ROLLBACK];
    if has_rollback {
        for which in 0..2 {
            let pending = State::PendingVerify;
            mark(
                flash,
                partition,
                &mut otadata,
                which,
                pending,
                State::Aborted,
            )?;
        }
    }
    let Some(active) = otadata.active() else {
        return Ok(default);
    };
    if has_rollback {
        let pending = State::PendingVerify;
        mark(flash, partition, &mut otadata, active, State::New, pending)?;
    }
    let slots = table.ota_slots_count();
    Ok(otadata.entries[active].and_then(|entry| Otadata::slot(entry, slots)))
}

/// Rewrites the entry if it is in the state `from`.
fn mark(
    flash: &mut VirtFlash,
    partition: &Partition,
    otadata: &mut Otadata,
    which: usize,
    from: State,
    to: State,
) -> Result<(), FlashError> {
    match otadata.entries[which] {
        Some(entry) if entry.state == from => {
            let entry = Entry { state: to, ..entry };
            otadata.write(flash, partition, which, entry)
        }
        _ => Ok(()),
    }
}

fn try_slot(flash: &mut VirtFlash, table: &PartitionTable, slot: u8) -> Option<(u32, u32)> {
    Some((u32::from(slot), load(flash, table.ota(slot)?)?))
}

fn try_factory(flash: &mut VirtFlash, table: &PartitionTable) -> Option<(u32, u32)> {
    Some((SLOT_FACTORY, load(flash, table.factory()?)?))
}

/// Verifies the app and copies it; where it begins.
fn load(flash: &mut VirtFlash, partition: &Partition) -> Option<u32> {
    let info = match image::verify(flash, partition.offset, partition.size, ChipId::VIRT) {
        Ok(info) => info,
        Err(error) => {
            say!("bootloader: {} is not bootable: {error}", partition.label);
            return None;
        }
    };
    let entry = copy(flash, partition.offset);
    match entry {
        Ok(Some(entry)) => {
            let version = info.descriptor.map(|descriptor| descriptor.version);
            let version = version.as_deref().unwrap_or("unknown");
            say!("bootloader: starts {}, version {version}", partition.label);
            Some(entry)
        }
        Ok(None) => {
            say!(
                "bootloader: {} is not linked for this machine",
                partition.label
            );
            None
        }
        Err(error) => {
            say!("bootloader: {}: {error}", partition.label);
            None
        }
    }
}

/// Copies the segments of a verified image; `None` if one does not belong to the app's memory.
fn copy(flash: &mut VirtFlash, offset: u32) -> Result<Option<u32>, FlashError> {
    let mut header = [0; HEADER_BYTES as usize];
    flash.read(offset, &mut header)?;
    let entry = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let mut at = offset + HEADER_BYTES;
    for _ in 0..header[1] {
        let mut segment = [0; SEGMENT_HEADER_BYTES as usize];
        flash.read(at, &mut segment)?;
        let [address, bytes] = [0, 4].map(|i| {
            u32::from_le_bytes([segment[i], segment[i + 1], segment[i + 2], segment[i + 3]])
        });
        let is_inside =
            |memory: Range<u32>| memory.contains(&address) && bytes <= memory.end - address;
        if !is_inside(APP_RAM) && !is_inside(APP_CODE) {
            return Ok(None);
        }
        at += SEGMENT_HEADER_BYTES;
        // SAFETY: memory that belongs to the app, which does not run; this program is linked elsewhere.
        let memory = unsafe { slice::from_raw_parts_mut(address as *mut u8, bytes as usize) };
        flash.read(at, memory)?;
        at += bytes;
    }
    Ok(APP_CODE.contains(&entry).then_some(entry))
}

fn start(slot: u32, entry: u32) -> ! {
    // SAFETY: a verified app, copied to where it is linked; it sets up everything for itself.
    unsafe {
        asm!("fence.i", "jr {entry}", entry = in(reg) entry, in("a0") slot, options(noreturn));
    }
}
