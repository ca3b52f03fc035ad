//! The flash of the QEMU board as it is delivered: see `firmware/qemu-riscv32/README.md` for how it
//! lies on the machine's two pflash units.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use airlift_firmware::{
    NAMESPACE,
    flash::{
        nvs::Nvs,
        otadata::{Entry, Otadata, State},
        partition_table::{PARTITION_TABLE_BYTES, PARTITION_TABLE_OFFSET, PartitionTable},
    },
};
use airlift_simflash::{SECTOR_BYTES, SimFlash, image};

/// In the image's header: no chip has this number.
const CHIP_ID: u16 = 0xF001;
/// Bytes of the whole flash.
const FLASH_BYTES: usize = 1024 * 1024;
/// Bytes of each of the two files.
const UNIT_BYTES: usize = 32 * 1024 * 1024;
/// What the machine erases at once; each holds one sector of ours.
const UNIT_SECTOR_BYTES: usize = 256 * 1024;
/// At the start of the flash: makes the bootloader roll back unconfirmed images.
const WITH_ROLLBACK: u8 = b'R';

const TABLE: &str = include_str!("../../crates/esp/tables/qemu-riscv32.csv");

/// What the board is provisioned with.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    pub id: &'a str,
    /// As the board sees it: the host is 10.0.2.2.
    pub mqtt_host: &'a str,
    pub mqtt_port: u16,
    pub token: &'a str,
    pub prefix: &'a str,
    pub page_pass: &'a str,
    /// Whether the bootloader has rollback (`CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`).
    pub rollback: bool,
}

/// The app's image from its ELF file, as `version`.
pub fn image(app_elf: &Path, version: &str) -> Vec<u8> {
    let elf = fs::read(app_elf).unwrap_or_else(|error| panic!("{}: {error}", app_elf.display()));
    let (entry, segments) = load_segments(&elf);
    image::from_elf_segments(CHIP_ID, entry, &segments, version, "")
        .expect("the app makes an image")
}

/// Both pflash units, with `image` in `ota_0`, confirmed.
pub fn make_flash(image: &[u8], settings: &Settings<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut flash = SimFlash::new(FLASH_BYTES);
    let table = PartitionTable::from_csv(TABLE).expect("the board's own table");
    let mut binary = [0; PARTITION_TABLE_BYTES];
    table.to_binary(&mut binary);
    flash.load(PARTITION_TABLE_OFFSET, &binary);
    if settings.rollback {
        flash.load(0, &[WITH_ROLLBACK]);
    }
    let ota_0 = table.ota(0).expect("the table has ota_0");
    assert!(
        image.len() <= ota_0.size as usize,
        "{} bytes are too many",
        image.len()
    );
    flash.load(ota_0.offset, image);
    let otadata = table.find_otadata().expect("the table has otadata");
    let entry = Entry {
        seq: 1,
        state: State::Valid,
    };
    Otadata::default()
        .write(&mut flash, otadata, 0, entry)
        .expect("the flash is new");
    let nvs = table.find_nvs().expect("the table has nvs");
    let mut nvs = Nvs::mount(&mut flash, nvs).expect("a blank NVS");
    for (key, value) in [
        ("id", settings.id),
        ("mqtt_host", settings.mqtt_host),
        ("token", settings.token),
        ("prefix", settings.prefix),
        ("page_pass", settings.page_pass),
    ] {
        nvs.set_str(&mut flash, NAMESPACE, key, value)
            .expect("room for it");
    }
    nvs.set_u16(&mut flash, NAMESPACE, "mqtt_port", settings.mqtt_port)
        .expect("room for it");
    spread(&flash.to_bytes())
}

fn spread(flash: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut units = vec![0xFF; 2 * UNIT_BYTES];
    for (place, sector) in units
        .chunks_mut(UNIT_SECTOR_BYTES)
        .zip(flash.chunks(SECTOR_BYTES))
    {
        place[..sector.len()].copy_from_slice(sector);
    }
    let second = units.split_off(UNIT_BYTES);
    (units, second)
}

/// Writes both units into files.
pub fn write_flash(units: &(Vec<u8>, Vec<u8>), files: [&Path; 2]) -> io::Result<()> {
    for (unit, file) in [&units.0, &units.1].into_iter().zip(files) {
        let file = File::create(file)?;
        io::Write::write_all(&mut &file, unit)?;
    }
    Ok(())
}

/// Entry and load segments of a 32-bit little-endian ELF file.
fn load_segments(elf: &[u8]) -> (u32, Vec<(u32, &[u8])>) {
    const LOAD: u32 = 1;
    let u16_at = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().expect("2 bytes"));
    let u32_at = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!(
        &elf[..6],
        b"\x7fELF\x01\x01",
        "a 32-bit little-endian ELF file"
    );
    let (headers, size, count) = (u32_at(28) as usize, u16_at(42), u16_at(44));
    let segments = (0..usize::from(count))
        .map(|index| headers + index * usize::from(size))
        .filter(|&header| u32_at(header) == LOAD)
        .map(|header| {
            let (offset, length) = (u32_at(header + 4) as usize, u32_at(header + 16) as usize);
            (u32_at(header + 12), &elf[offset..offset + length])
        });
    (u32_at(24), segments.collect())
}
