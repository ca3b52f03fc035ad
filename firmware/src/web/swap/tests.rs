//! The power is cut at every operation of an exchange, and at every operation of what mends it.

use std::{format, vec, vec::Vec};

use airlift_simflash::{Random, SimFlash};

use super::*;
use crate::web::{Changed, Layout, Stage, changed::SECTORS_MAX};

const TABLE: &str = "\
nvs,        data, nvs,    0x9000,  0x4000
otadata,    data, ota,    0xd000,  0x2000
app0,       app,  ota_0,  0x10000, 0x10000
app1,       app,  ota_1,  0x20000, 0x10000
spiffs_web, data, spiffs, 0x30000, 0x6000
";
const FLASH_BYTES: usize = 0x3_8000;
const WEB: u32 = 0x3_0000;
const SECTOR: usize = SECTOR_BYTES as usize;

/// A device with an old web part of 4 sectors and the new one of `bytes` bytes, of which these sectors
/// differ.
struct Case {
    bytes: usize,
    changed: &'static [usize],
    /// Leaves so many sectors behind it in its slot.
    firmware_bytes: u32,
}

/// Its places lie in the slot, behind the web part and in both gaps.
const SCATTERED: Case = Case {
    bytes: 4 * SECTOR,
    changed: &[0, 2, 3],
    firmware_bytes: 0x1_0000 - 2 * SECTOR_BYTES,
};
/// No more than what tears differently: two sectors, the second one not whole.
const SMALL: Case = Case {
    bytes: SECTOR + 700,
    changed: &[0, 1],
    firmware_bytes: 0,
};

fn table() -> PartitionTable {
    PartitionTable::from_csv(TABLE).unwrap()
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(seed).fill(&mut bytes);
    bytes
}

impl Case {
    fn old(&self) -> Vec<u8> {
        random(1, 4 * SECTOR)
    }

    /// As it comes.
    fn part(&self) -> Vec<u8> {
        let mut new = self.old();
        for sector in self.changed {
            let from = random(2 + *sector as u64, SECTOR - 300);
            new[sector * SECTOR + 300..][..SECTOR - 300].copy_from_slice(&from);
        }
        new.truncate(self.bytes);
        new
    }

    /// As it lies in the partition's first four sectors.
    fn after(&self) -> Vec<u8> {
        let mut new = self.part();
        new.resize(self.bytes.next_multiple_of(SECTOR), 0xFF);
        let old = self.old();
        new.extend(&old[new.len()..]);
        new
    }

    fn side(&self, side: Side) -> Vec<u8> {
        match side {
            Side::Old => self.old(),
            Side::New => self.after(),
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            slot: Some(1),
            firmware_bytes: self.firmware_bytes,
            web_bytes: self.bytes as u32,
            web_bytes_max: 4 * SECTOR_BYTES,
            flash_bytes: FLASH_BYTES as u32,
        }
    }

    /// A flash in which nothing is as an erased one: whoever does not erase is found out.
    fn delivered(&self) -> SimFlash {
        let mut flash = SimFlash::from_bytes(&random(9, FLASH_BYTES));
        flash.load(0x9000, &[0xFF; 0x4000]);
        flash.load(WEB, &self.old());
        flash
    }

    /// A flash with all staged and recorded.
    fn staged(&self) -> SimFlash {
        let mut flash = self.delivered();
        let new = self.part();
        let mut stage = Stage::open(&table(), self.layout(), 0, Changed::default()).unwrap();
        for piece in new.chunks(413) {
            stage.write(&mut flash, piece).unwrap();
        }
        let changed: Vec<_> = stage.changed().sectors().map(|one| one as usize).collect();
        assert_eq!(changed, self.changed);
        assert_eq!(stage.verify(&mut flash, SECTOR_BYTES), Ok(None));
        let staged = stage.verify(&mut flash, u32::MAX).unwrap().unwrap();
        assert_eq!(staged.sha256[..], Sha256::digest(&new)[..]);
        let mut record = stage.record(&staged, "2.0.0".try_into().unwrap());
        memory(&mut flash)
            .save_web(&mut flash, &mut record)
            .unwrap();
        flash
    }
}

fn memory(flash: &mut SimFlash) -> Memory {
    Memory::mount(flash, table().find_nvs().unwrap())
}

/// What a boot does.
fn boot(flash: &mut SimFlash, side: Side) -> Result<(), WebError> {
    let mut memory = memory(flash);
    if flash.is_cut() {
        return Err(WebError::Memory);
    }
    let mut record = memory.load_web(flash).expect("it is never lost");
    Swap::new(flash, &mut memory, &table(), &mut record)?
        .go(side)
        .map(drop)
}

fn web(flash: &SimFlash) -> Vec<u8> {
    flash.bytes(WEB, 4 * SECTOR)
}

/// Cuts the power in every operation of an exchange, `depth` deep, and mends to both sides.
fn cut_everywhere(case: &Case, flash: &SimFlash, to: Side, depth: u32, context: &str) -> u64 {
    let mut whole = flash.clone();
    boot(&mut whole, to).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(web(&whole) == case.side(to), "{context}, {to:?}");
    check_surroundings(case, &whole, context);
    if depth == 0 {
        return 0;
    }
    let mut fired = 0;
    for at in 1..=whole.operations() - flash.operations() {
        for seed in 0..2 {
            let seed = 31 * at + 7 * seed + u64::from(depth);
            let context = format!("{context}, {to:?} cut at {at} with {seed}");
            let mut torn = flash.clone();
            torn.cut_after(at, seed);
            // The last save may fail: then all was done before.
            let _ = boot(&mut torn, to);
            assert_eq!(torn.cuts_fired(), flash.cuts_fired() + 1, "{context}");
            torn.power_on();
            fired += 1;
            for mended in [Side::New, Side::Old] {
                fired += cut_everywhere(case, &torn, mended, depth - 1, &context);
            }
        }
    }
    fired
}

/// Only the web part, its room and the NVS are written to.
fn check_surroundings(case: &Case, flash: &SimFlash, context: &str) {
    let delivered = case.delivered();
    let firmware = 0x2_0000 + case.firmware_bytes.next_multiple_of(SECTOR_BYTES);
    for (from, to) in [(0, 0x9000), (0xD000, 0xF000), (0x1_0000, firmware)] {
        let length = (to - from) as usize;
        let is_same = flash.bytes(from, length) == delivered.bytes(from, length);
        assert!(is_same, "{context}: {from:#x}");
    }
}

#[test]
fn an_exchange_survives_every_power_cut_in_both_directions() {
    for case in [SCATTERED, SMALL] {
        let staged = case.staged();
        let mut there = staged.clone();
        boot(&mut there, Side::New).unwrap();
        let fired = cut_everywhere(&case, &staged, Side::New, 1, "")
            + cut_everywhere(&case, &there, Side::Old, 1, "back");
        assert!(fired > 250, "{fired}");
    }
}

#[test]
fn a_small_exchange_survives_every_power_cut_of_every_recovery() {
    let staged = SMALL.staged();
    let mut there = staged.clone();
    boot(&mut there, Side::New).unwrap();
    let fired = cut_everywhere(&SMALL, &staged, Side::New, 2, "")
        + cut_everywhere(&SMALL, &there, Side::Old, 2, "back");
    std::println!("{fired} cuts fired");
    assert!(fired > 20_000, "{fired}");
}

#[test]
fn it_goes_to_and_fro_as_often_as_wanted() {
    let mut flash = SCATTERED.staged();
    for side in [
        Side::New,
        Side::Old,
        Side::Old,
        Side::New,
        Side::New,
        Side::Old,
    ] {
        boot(&mut flash, side).unwrap();
        assert!(web(&flash) == SCATTERED.side(side));
    }
}

#[test]
fn an_update_erases_no_sector_more_than_once_while_staging_and_once_in_each_pass() {
    let (delivered, mut flash) = (SCATTERED.delivered(), SCATTERED.staged());
    let nvs = 0x9000 / SECTOR..0xD000 / SECTOR;
    let most_since = |before: &SimFlash, flash: &SimFlash| {
        let both = flash.erase_counts().iter().zip(before.erase_counts());
        let erased = both.map(|(now, then)| now - then).enumerate();
        let besides = erased.filter(|(sector, _)| !nvs.contains(sector));
        besides.map(|(_, erases)| erases).max()
    };
    assert_eq!(most_since(&delivered, &flash), Some(1));
    for side in [Side::New, Side::Old] {
        let before = flash.clone();
        boot(&mut flash, side).unwrap();
        assert_eq!(most_since(&before, &flash), Some(1), "{side:?}");
    }
}

#[test]
fn nothing_is_begun_if_what_is_to_come_is_not_there() {
    for (address, side) in [(WEB + 5000, Side::New), (WEB + 0x4000, Side::New)] {
        let mut flash = SCATTERED.staged();
        flash.flip_bit(address, 2);
        let before = web(&flash);
        assert_eq!(boot(&mut flash, side), Err(WebError::Altered));
        assert!(web(&flash) == before);
    }
    let mut flash = SCATTERED.staged();
    boot(&mut flash, Side::New).unwrap();
    flash.flip_bit(0x2_F000, 2);
    assert_eq!(boot(&mut flash, Side::Old), Err(WebError::Altered));
    assert!(web(&flash) == SCATTERED.after());
}

#[test]
fn a_flash_that_wears_out_in_the_middle_goes_back() {
    let staged = SCATTERED.staged();
    let mut whole = staged.clone();
    boot(&mut whole, Side::New).unwrap();
    for at in 1..whole.operations() - staged.operations() {
        let mut flash = staged.clone();
        flash.fail_writes(at);
        let failed = boot(&mut flash, Side::New);
        assert!(failed.is_err() || web(&flash) == SCATTERED.after());
        flash.stop_failing();
        boot(&mut flash, Side::Old).unwrap();
        assert!(web(&flash) == SCATTERED.old());
    }
}

#[test]
fn staging_goes_on_at_any_sector() {
    let new = SCATTERED.part();
    for sectors in 1..4 {
        let mut flash = SCATTERED.delivered();
        let layout = SCATTERED.layout();
        let mut stage = Stage::open(&table(), layout.clone(), 0, Changed::default()).unwrap();
        stage.write(&mut flash, &new[..sectors * SECTOR]).unwrap();
        let changed = stage.changed().clone();
        // More came, and is forgotten.
        stage
            .write(&mut flash, &new[sectors * SECTOR..][..2000])
            .unwrap();
        let offset = (sectors * SECTOR) as u32;
        let mut stage = Stage::open(&table(), layout, offset, changed).unwrap();
        stage.write(&mut flash, &new[sectors * SECTOR..]).unwrap();
        let staged = stage.verify(&mut flash, u32::MAX).unwrap().unwrap();
        assert_eq!(staged.sha256[..], Sha256::digest(&new)[..]);
    }
}

#[test]
fn a_web_part_that_changes_more_than_there_is_room_for_is_refused_with_the_numbers() {
    let mut flash = SCATTERED.delivered();
    let layout = Layout {
        // Without the flash behind the last partition.
        flash_bytes: WEB,
        firmware_bytes: 0x1_0000,
        ..SCATTERED.layout()
    };
    let mut stage = Stage::open(&table(), layout, 0, Changed::default()).unwrap();
    let refused = stage.write(&mut flash, &SCATTERED.part());
    assert_eq!(
        refused,
        Err(WebError::NoRoom {
            changed: 2,
            room: 1
        })
    );
    assert!(web(&flash) == SCATTERED.old());
}

#[test]
fn the_web_part_must_fit_its_partition() {
    let too_large = |web_bytes, web_bytes_max| {
        let layout = Layout {
            web_bytes,
            web_bytes_max,
            ..SCATTERED.layout()
        };
        Room::new(&table(), &layout).err()
    };
    let refused = |web, limit| Some(WebError::TooLarge { web, limit });
    assert_eq!(too_large(0x4001, 0x4000), refused(0x4001, 0x4000));
    assert_eq!(too_large(0x6001, 0), refused(0x6001, 0x6000));
    assert_eq!(too_large(0x6000, 0x8000), None);
    let table = PartitionTable::from_csv(&TABLE.replace("spiffs_web", "spiffs")).unwrap();
    let room = Room::new(&table, &SCATTERED.layout());
    assert_eq!(room.err(), Some(WebError::NoPartition));
    for flag in ["encrypted", "readonly"] {
        let text = TABLE.replace("0x6000", &format!("0x6000, {flag}"));
        let room = Room::new(
            &PartitionTable::from_csv(&text).unwrap(),
            &SCATTERED.layout(),
        );
        assert_eq!(room.err(), Some(WebError::Protected));
    }
}

#[test]
fn the_room_is_what_the_table_in_the_documentation_says() {
    for (csv, flash_bytes, web_bytes, firmware_bytes, changes) in [
        (
            include_str!("../../../../crates/esp/tables/esp32-wroom.csv"),
            4 << 20,
            1 << 20,
            0,
            446,
        ),
        (
            include_str!("../../../../crates/esp/tables/esp32-wroom.csv"),
            4 << 20,
            1 << 20,
            0x13_0000,
            142,
        ),
        (
            include_str!("../../../../crates/esp/tables/esp32-wrover.csv"),
            8 << 20,
            3 << 20,
            0,
            749,
        ),
        (
            include_str!("../../../../crates/esp/tables/esp32-wrover.csv"),
            8 << 20,
            3 << 20,
            0x20_0000,
            237,
        ),
        (
            include_str!("../../../../crates/esp/tables/esp32c3.csv"),
            4 << 20,
            0x3_0000,
            0x1E_0000,
            0,
        ),
    ] {
        let table = PartitionTable::from_csv(csv).unwrap();
        let layout = Layout {
            slot: Some(1),
            firmware_bytes,
            web_bytes,
            web_bytes_max: web_bytes,
            flash_bytes,
        };
        let room = Room::new(&table, &layout).unwrap();
        assert_eq!(room.changes_max(), changes, "{csv}");
    }
}

#[test]
fn no_two_uses_of_the_room_overlap_and_none_lies_where_it_must_not() {
    let layout = SCATTERED.layout();
    let room = Room::new(&table(), &layout).unwrap();
    let mut used: Vec<u32> = room.journal().map(Result::unwrap).collect();
    used.extend((0..=room.changes_max()).map(|index| room.place(index).unwrap()));
    assert!(room.place(room.changes_max() + 1).is_err());
    let sorted: Vec<_> = [
        // The slot's end, the partition's end, before the first app, behind all.
        (0x2_E000, 0x3_0000),
        (0x3_4000, 0x3_6000),
        (0xF000, 0x1_0000),
        (0x3_6000, 0x3_8000),
    ]
    .into_iter()
    .flat_map(|(from, to)| (from..to).step_by(SECTOR))
    .collect();
    assert_eq!(used, sorted);
    assert!(SECTORS_MAX * STEPS_PER_SECTOR <= u32::from(u16::MAX));
}
