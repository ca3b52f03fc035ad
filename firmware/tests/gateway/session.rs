//! The update session: ESP-IDF's semantics and errors, and what a power cut asks for beyond them.

use crate::world::*;
use airlift_firmware::{
    EspError, ImageSize, Images, Ota,
    flash::{
        image::ChipId,
        otadata::{Otadata, State},
        partition_table::*,
    },
};
use airlift_simflash::{App, Bootloader, Kind as Loader, SimError, SimFlash};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

const TABLE: &str = "\
nvs,      data, nvs,     0x9000,  0x5000
otadata,  data, ota,     0xe000,  0x2000
factory,  app,  factory, 0x10000, 0x10000
app0,     app,  ota_0,   0x20000, 0x10000
app1,     app,  ota_1,   0x30000, 0x10000
";
const HUGE_APP: &str = include_str!("../../../crates/esp/tables/huge_app.csv");
const FLASH_BYTES: usize = 0x4_0000;

/// A gateway that runs `label`.
fn running(table: &str, label: &str, images: Images) -> Ota<SimFlash> {
    let table = PartitionTable::from_csv(table).unwrap();
    let mut flash = SimFlash::new(FLASH_BYTES);
    let mut binary = [0; PARTITION_TABLE_BYTES];
    table.to_binary(&mut binary);
    flash.load(PARTITION_TABLE_OFFSET, &binary);
    let running = table.find(label).unwrap().clone();
    Ota::new(flash, table, running, images)
}

fn app() -> Images {
    Images::App(ChipId(CHIP_ID))
}

fn next(ota: &Ota<SimFlash>) -> Partition {
    ota.get_next_update_partition(None).unwrap().clone()
}

fn partition(label: &str) -> Partition {
    let table = PartitionTable::from_csv(TABLE).unwrap();
    table.find(label).unwrap().clone()
}

fn boots(flash: &mut SimFlash, kind: Loader) -> App {
    let loader = Bootloader {
        kind,
        chip_id: CHIP_ID,
        images: airlift_simflash::Images::Esp,
    };
    loader.boot(flash).unwrap().app
}

#[test]
fn the_next_partition_is_the_slot_after_the_running_one() {
    for (runs, expected) in [("factory", "app0"), ("app0", "app1"), ("app1", "app0")] {
        assert_eq!(next(&running(TABLE, runs, app())).label, expected);
    }
    let ota = running(TABLE, "factory", app());
    let after = ota.get_next_update_partition(Some(&partition("app0")));
    assert_eq!(after.unwrap().label, "app1");
    let huge = running(HUGE_APP, "app0", app());
    assert_eq!(huge.get_next_update_partition(None), None);
}

#[test]
fn begin_write_end_and_set_boot_make_an_image_boot() {
    for size in [
        ImageSize::Unknown,
        ImageSize::SequentialWrites,
        ImageSize::Bytes(9_008),
    ] {
        let mut ota = running(TABLE, "factory", app());
        let slot = next(&ota);
        let handle = ota.begin(&slot, size).unwrap();
        for piece in image_of("2.0.0", 9_008).chunks(37) {
            ota.write(handle, piece).unwrap();
        }
        let verified = ota.end(handle).unwrap();
        assert_eq!(verified.version.as_deref(), Some("2.0.0"));
        assert_eq!(verified.bytes, 9_008);
        assert_eq!(ota.get_boot_partition().unwrap().label, "factory");
        ota.set_boot_partition(&slot).unwrap();
        assert_eq!(ota.get_boot_partition().unwrap(), slot);
        assert_eq!(boots(&mut ota.into_flash(), Loader::Stock), App::Ota(0));
    }
}

#[test]
fn begin_refuses_what_esp_idf_refuses() {
    let mut ota = running(TABLE, "app0", app());
    let mut begin = |label: &str, size| ota.begin(&partition(label), size).unwrap_err();
    let conflict = begin("app0", ImageSize::Unknown);
    assert_eq!(conflict, EspError::OtaPartitionConflict);
    assert_eq!(conflict.to_string(), "ESP_ERR_OTA_PARTITION_CONFLICT");
    assert_eq!(conflict.code(), 0x1501);
    assert_eq!(begin("nvs", ImageSize::Unknown), EspError::InvalidArg);
    assert_eq!(begin("factory", ImageSize::Unknown), EspError::InvalidArg);
    let too_large = ImageSize::Bytes(0x10001);
    assert_eq!(begin("app1", too_large), EspError::InvalidSize);
    let mut foreign = partition("app1");
    foreign.offset += 0x1000;
    assert_eq!(
        ota.begin(&foreign, ImageSize::Unknown).unwrap_err(),
        EspError::NotFound
    );
}

#[test]
fn a_second_session_is_refused_until_the_first_is_over() {
    let mut ota = running(TABLE, "factory", app());
    let first = ota.begin(&partition("app0"), ImageSize::Unknown).unwrap();
    let second = ota.begin(&partition("app1"), ImageSize::Unknown);
    assert_eq!(second, Err(EspError::InvalidState));
    ota.abort(first).unwrap();
    assert_eq!(ota.abort(first), Err(EspError::NotFound));
    let second = ota.begin(&partition("app1"), ImageSize::Unknown).unwrap();
    assert_eq!(ota.write(first, b"\xE9"), Err(EspError::NotFound));
    ota.write(second, b"\xE9").unwrap();
}

#[test]
fn an_app_on_trial_may_not_begin() {
    let mut ota = running(TABLE, "factory", app());
    install(&mut ota, "2.0.0");
    let (table, slot) = (PartitionTable::from_csv(TABLE).unwrap(), partition("app0"));
    let mut flash = ota.into_flash();
    assert_eq!(boots(&mut flash, Loader::Rollback), App::Ota(0));
    let mut ota = Ota::new(flash, table, slot, app());
    let begun = ota.begin(&partition("app1"), ImageSize::Unknown);
    assert_eq!(begun, Err(EspError::OtaRollbackInvalidState));
    ota.mark_app_valid_cancel_rollback().unwrap();
    ota.begin(&partition("app1"), ImageSize::Unknown).unwrap();
}

fn install(ota: &mut Ota<SimFlash>, version: &str) {
    let slot = next(ota);
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    ota.write(handle, &image_of(version, 6_000)).unwrap();
    ota.end(handle).unwrap();
    ota.set_boot_partition(&slot).unwrap();
}

#[test]
fn an_app_that_calls_itself_invalid_is_rolled_back() {
    for (runs, expected) in [("factory", App::Factory), ("app0", App::Ota(0))] {
        let mut ota = running(TABLE, runs, app());
        let table = PartitionTable::from_csv(TABLE).unwrap();
        if runs == "app0" {
            ota = running(TABLE, "factory", app());
            install(&mut ota, "1.0.0");
            ota = Ota::new(ota.into_flash(), table.clone(), partition("app0"), app());
        } else {
            let mut flash = ota.into_flash();
            flash.load(0x10000, &image_of("1.0.0", 6_000));
            ota = Ota::new(flash, table.clone(), partition("factory"), app());
        }
        install(&mut ota, "2.0.0");
        let new = ota.get_boot_partition().unwrap();
        let mut ota = Ota::new(ota.into_flash(), table, new, app());
        ota.mark_app_invalid_rollback_and_reboot().unwrap();
        assert_eq!(boots(&mut ota.into_flash(), Loader::Rollback), expected);
    }
}

#[test]
fn an_app_with_nothing_before_it_cannot_be_rolled_back() {
    let table = TABLE.lines().filter(|line| !line.contains("factory"));
    let table: String = table.map(|line| format!("{line}\n")).collect();
    let mut ota = running(&table, "app0", app());
    install(&mut ota, "2.0.0");
    let parsed = PartitionTable::from_csv(&table).unwrap();
    let mut ota = Ota::new(ota.into_flash(), parsed, partition("app1"), app());
    let error = ota.mark_app_invalid_rollback_and_reboot().unwrap_err();
    assert_eq!(error, EspError::OtaRollbackFailed);
}

#[test]
fn writes_beyond_the_size_and_bytes_that_are_no_image_are_refused() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Bytes(10)).unwrap();
    assert_eq!(ota.write(handle, b"MZ"), Err(EspError::OtaValidateFailed));
    ota.write(handle, b"\xE9234567890").unwrap();
    assert_eq!(ota.write(handle, b"1"), Err(EspError::InvalidSize));
    assert_eq!(ota.end(handle), Err(EspError::OtaValidateFailed));
    assert_eq!(ota.end(handle), Err(EspError::NotFound), "end closes it");
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    assert_eq!(
        ota.end(handle),
        Err(EspError::InvalidArg),
        "nothing written"
    );
}

#[test]
fn a_bootloader_is_a_valid_image_but_no_application() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    let bootloader = airlift_simflash::image::bootloader_like(CHIP_ID);
    ota.write(handle, &bootloader).unwrap();
    assert_eq!(ota.end(handle), Err(EspError::OtaValidateFailed));
}

#[test]
fn set_boot_partition_verifies() {
    let mut ota = running(TABLE, "factory", app());
    let empty = ota.set_boot_partition(&partition("app1"));
    assert_eq!(empty, Err(EspError::OtaValidateFailed));
    assert_eq!(
        ota.set_boot_partition(&partition("nvs")),
        Err(EspError::InvalidArg)
    );
    install(&mut ota, "2.0.0");
    // Verified once, but written to since.
    let handle = ota.begin(&partition("app0"), ImageSize::Unknown).unwrap();
    ota.write(handle, &image_of("3.0.0", 6_000)).unwrap();
    ota.abort(handle).unwrap();
    let spoiled = ota.set_boot_partition(&partition("app0"));
    assert_eq!(spoiled, Err(EspError::OtaValidateFailed));
    let mut flash = ota.into_flash();
    flash.load(0x10000, &image_of("1.0.0", 6_000));
    let table = PartitionTable::from_csv(TABLE).unwrap();
    let mut ota = Ota::new(flash, table, partition("app0"), app());
    ota.set_boot_partition(&partition("factory")).unwrap();
    assert_eq!(ota.get_boot_partition().unwrap().label, "factory");
}

#[test]
fn begin_erases_nothing_and_each_sector_is_erased_just_ahead_of_its_write() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Bytes(0x10000)).unwrap();
    let erased = |ota: Ota<SimFlash>| -> u32 { ota.into_flash().erase_counts().iter().sum() };
    let image = image_of("2.0.0", 0x9000);
    ota.write(handle, &image[..4_096]).unwrap();
    ota.write(handle, &image[4_096..4_100]).unwrap();
    assert_eq!(erased(ota), 1);
    let mut ota = running(TABLE, "factory", app());
    ota.begin(&slot, ImageSize::Bytes(0x10000)).unwrap();
    assert_eq!(erased(ota), 0);
}

#[test]
fn a_slot_that_is_not_wholly_written_and_verified_never_looks_bootable() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    let image = image_of("2.0.0", 9_008);
    ota.write(handle, &image).unwrap();
    while ota.verify(handle, 1_000).unwrap().is_none() {}
    let flash = ota.into_flash();
    assert_eq!(flash.bytes(slot.offset, 16), [0xFF; 16]);
    assert_eq!(flash.bytes(slot.offset + 16, 9_008 - 16), image[16..]);
}

#[test]
fn a_session_goes_on_where_it_was() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let image = image_of("2.0.0", 9_008);
    let handle = ota.begin(&slot, ImageSize::Bytes(9_008)).unwrap();
    ota.write(handle, &image[..8_192]).unwrap();
    let head = ota.head(handle).unwrap();
    ota.write(handle, &image[8_192..8_500]).unwrap();
    let table = PartitionTable::from_csv(TABLE).unwrap();
    let mut ota = Ota::new(ota.into_flash(), table, partition("factory"), app());
    let resume = |ota: &mut Ota<_>, at| ota.resume(&slot, ImageSize::Bytes(9_008), at, head);
    assert_eq!(resume(&mut ota, 100), Err(EspError::InvalidArg));
    assert_eq!(resume(&mut ota, 12_288), Err(EspError::InvalidSize));
    let handle = resume(&mut ota, 8_192).unwrap();
    ota.write(handle, &image[8_192..]).unwrap();
    assert_eq!(ota.end(handle).unwrap().version.as_deref(), Some("2.0.0"));
}

#[test]
fn any_bytes_of_any_length_are_an_image_where_the_board_has_no_format() {
    for length in [1, 3, 15, 16, 17, 255, 256, 257, 4_095, 4_097] {
        let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut ota = running(TABLE, "factory", Images::Any);
        let slot = next(&ota);
        let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
        ota.write(handle, &bytes).unwrap();
        let verified = ota.end(handle).unwrap();
        assert_eq!((verified.bytes, verified.image), (length as u32, None));
        assert_eq!(ota.into_flash().bytes(slot.offset, length), bytes);
    }
}

#[test]
fn a_flash_that_keeps_other_bytes_is_noticed() {
    let mut ota = running(TABLE, "factory", Images::Any);
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    ota.write(handle, &[7; 9_000]).unwrap();
    let before = {
        let mut other = running(TABLE, "factory", Images::Any);
        let handle = other.begin(&slot, ImageSize::Unknown).unwrap();
        other.write(handle, &[7; 9_000]).unwrap();
        other.end(handle).unwrap().sha256
    };
    let mut flash = ota.into_flash();
    flash.flip_bit(slot.offset + 5_000, 0);
    let table = PartitionTable::from_csv(TABLE).unwrap();
    let mut ota = Ota::new(flash, table, partition("factory"), Images::Any);
    let handle = ota
        .resume(&slot, ImageSize::Unknown, 8_192, [7; 16])
        .unwrap();
    ota.write(handle, &[7; 9_000 - 8_192]).unwrap();
    assert_ne!(ota.end(handle).unwrap().sha256, before);
}

/// An app in `label` whose entry the bootloader has made `PENDING_VERIFY`.
fn pending(ota: Ota<SimFlash>, label: &str) -> Ota<SimFlash> {
    let mut flash = ota.into_flash();
    boots(&mut flash, Loader::Rollback);
    let table = PartitionTable::from_csv(TABLE).unwrap();
    Ota::new(flash, table, partition(label), app())
}

#[test]
fn a_power_cut_while_an_app_confirms_itself_leaves_the_app_before_it() {
    let mut ota = running(TABLE, "factory", app());
    install(&mut ota, "1.0.0");
    let mut ota = pending(ota, "app0");
    ota.mark_app_valid_cancel_rollback().unwrap();
    install(&mut ota, "2.0.0");
    let flash = pending(ota, "app1").into_flash();
    let table = PartitionTable::from_csv(TABLE).unwrap();
    for operation in 1..=2 {
        let mut cut = flash.clone();
        cut.cut_after(operation, operation);
        let mut ota = Ota::new(cut, table.clone(), partition("app1"), app());
        assert_eq!(
            ota.mark_app_valid_cancel_rollback(),
            Err(EspError::FlashOpFail)
        );
        let mut cut = ota.into_flash();
        assert_eq!(cut.cuts_fired(), 1);
        cut.power_on();
        let booted = boots(&mut cut, Loader::Rollback);
        assert!(matches!(booted, App::Ota(_)), "{booted:?}");
    }
    let mut ota = Ota::new(flash, table, partition("app1"), app());
    ota.mark_app_valid_cancel_rollback().unwrap();
    let mut flash = ota.into_flash();
    let otadata = Otadata::read(&mut flash, &partition("otadata")).unwrap();
    let active = otadata.entries[otadata.active().unwrap()].unwrap();
    assert_eq!(active.state, State::Valid);
    for _ in 0..3 {
        assert_eq!(boots(&mut flash, Loader::Rollback), App::Ota(1));
    }
}

#[test]
fn an_image_that_is_not_valid_never_looks_bootable() {
    let mut ota = running(TABLE, "factory", app());
    let slot = next(&ota);
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    let mut image = image_of("2.0.0", 9_008);
    airlift_simflash::image::flip(&mut image, 5_000, 1);
    ota.write(handle, &image).unwrap();
    assert_eq!(ota.end(handle), Err(EspError::OtaValidateFailed));
    assert_eq!(ota.into_flash().bytes(slot.offset, 16), [0xFF; 16]);
}

/// A flash that spoils what is written at one address, and does not say so.
struct Spoiling {
    sim: SimFlash,
    at: u32,
}

impl ErrorType for Spoiling {
    type Error = SimError;
}

impl ReadNorFlash for Spoiling {
    const READ_SIZE: usize = SimFlash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.sim.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.sim.size()
    }
}

impl NorFlash for Spoiling {
    const WRITE_SIZE: usize = SimFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = SimFlash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        self.sim.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.sim.write(offset, bytes)?;
        if offset == self.at && bytes[0] != 0xFF {
            self.sim.flip_bit(offset, 0);
        }
        Ok(())
    }
}

#[test]
fn a_flash_that_spoils_the_first_bytes_is_noticed() {
    let table = PartitionTable::from_csv(TABLE).unwrap();
    let slot = partition("app0");
    let flash = Spoiling {
        sim: SimFlash::new(FLASH_BYTES),
        at: slot.offset,
    };
    let mut ota = Ota::new(flash, table, partition("factory"), app());
    let handle = ota.begin(&slot, ImageSize::Unknown).unwrap();
    ota.write(handle, &image_of("2.0.0", 9_008)).unwrap();
    assert_eq!(ota.end(handle), Err(EspError::FlashOpFail));
}
