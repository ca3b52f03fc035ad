//! The power fails in every single operation on the flash, and again in every one of the recovery
//! after that.

use airlift_simflash::{Random, SimFlash};

use crate::device::{Device, Key, Model, Operation, Value, mount};

const STATE: Key = ("airlift", "state");
const ATTEMPTS: Key = ("airlift", "attempts");
const URL: Key = ("airlift", "url");
const LARGE: Key = ("airlift", "large");
const PASSWORD: Key = ("wifi", "password");
/// Only ever written as bytes of another value.
const PHANTOM: Key = ("airlift", "phantom");
const KEYS: [Key; 6] = [STATE, ATTEMPTS, URL, LARGE, PASSWORD, PHANTOM];

/// Recoveries with more operations than this are those that move a page.
const SHORT_RECOVERY: u64 = 24;
/// Of the operations of a long recovery, every so manieth is cut after one first cut; the next
/// first cut takes the ones beside them.
const STRIDE: u64 = 16;

#[derive(Default, Debug)]
struct Counts {
    operations: u64,
    cuts: u64,
    cuts_of_recovery: u64,
    old: u64,
    new: u64,
    page_changes: u32,
    erases: u64,
}

fn set(key: Key, value: Value) -> Operation {
    Operation::Set(key, value)
}

/// What a gateway does, and more.
fn life(rounds: u32) -> Vec<Operation> {
    let mut operations = vec![
        set(PASSWORD, Value::Text("correct horse".to_owned())),
        set(URL, Value::Text("http://airlift.test/1.bin".to_owned())),
    ];
    for round in 0..rounds {
        operations.push(set(STATE, Value::blob(300 + round as usize * 7, round)));
        operations.push(set(ATTEMPTS, Value::U8(round as u8)));
        match round % 5 {
            0 => operations.push(set(URL, Value::Text("u".repeat(40 + round as usize)))),
            1 => operations.push(set(LARGE, Value::blob(2000 + 60 * round as usize, round))),
            2 => operations.push(Operation::Erase(ATTEMPTS)),
            3 => operations.push(set(ATTEMPTS, Value::I64(-5))),
            _ => operations.push(Operation::Erase(LARGE)),
        }
    }
    operations
}

/// Blobs whose bytes are themselves entries of NVS: an item of the key `phantom`, again and again.
fn forgeries() -> Vec<Operation> {
    let mut forger = Device::new(3);
    // The same namespace number as in the device under test.
    forger.set(PASSWORD, &Value::U8(1)).unwrap();
    forger.set(PHANTOM, &Value::U8(66)).unwrap();
    let bytes = forger.partition_bytes();
    let number = bytes[64..]
        .chunks(32)
        .position(|entry| entry[8..].starts_with(b"phantom\0"))
        .unwrap();
    let entry = &bytes[64 + number * 32..][..32];
    assert_eq!(entry[0], 2);
    // These stay and are moved from page to page.
    let mut operations = vec![
        set(PASSWORD, Value::Blob(entry.repeat(3))),
        set(URL, Value::Blob(entry.repeat(7))),
        set(LARGE, Value::Blob(entry.repeat(12))),
    ];
    for length in (3..45).step_by(2).chain(10..35) {
        operations.push(set(STATE, Value::Blob(entry.repeat(length))));
        operations.push(set(ATTEMPTS, Value::U8(length as u8)));
    }
    operations
}

/// After a cut, what was to change is old or new and all else is as it was. Tells which.
fn check(device: &mut Device, operation: &Operation, before: &Model) -> Model {
    let key = operation.key();
    let mut after = before.clone();
    operation.apply(&mut after);
    let held = device.get(key);
    let model = if held.as_ref() == before.get(&key) {
        before
    } else {
        &after
    };
    device.check(&KEYS, model);
    device.check_states();
    model.clone()
}

/// All operations work on.
fn work_on(device: &mut Device, model: &Model, following: &[Operation]) {
    let mut model = model.clone();
    for operation in following {
        device.apply(operation).unwrap();
        operation.apply(&mut model);
    }
    device.check(&KEYS, &model);
    let operations = device.flash.operations();
    let mut device = Device::start(device.flash.clone());
    assert_eq!(device.flash.operations(), operations, "a clean mount");
    device.check(&KEYS, &model);
}

/// Mounts with the power failing in that operation on the flash.
fn start_with_cut(torn: &SimFlash, at: u64, seed: u64) -> SimFlash {
    let mut flash = torn.clone();
    flash.cut_after(at, seed);
    mount(&mut flash).expect_err("the recovery has so many operations");
    assert_eq!(flash.cuts_fired(), torn.cuts_fired() + 1);
    flash.power_on();
    flash
}

/// Cuts everywhere in one operation.
fn cut_everywhere(
    flash: &SimFlash,
    operation: &Operation,
    following: &[Operation],
    before: &Model,
    seeds: u64,
    counts: &mut Counts,
) {
    let whole = {
        let mut device = Device::start(flash.clone());
        let start = device.flash.operations();
        device.apply(operation).unwrap();
        device.flash.operations() - start
    };
    counts.operations += whole;
    for at in 1..=whole {
        for number in 0..seeds {
            let seed = Random::new(counts.operations * 1_000 + at * 10 + number).bits();
            let case = format!("{operation:?}, cut {at} of {whole}, seed {seed}");
            let mut device = Device::start(flash.clone());
            device.flash.cut_after(at, seed);
            device.apply(operation).expect_err(&case);
            assert_eq!(device.flash.cuts_fired(), 1, "{case}");
            device.flash.power_on();
            counts.cuts += 1;

            let torn = device.flash;
            let mut device = Device::start(torn.clone());
            let recovery = device.flash.operations() - torn.operations();
            let model = check(&mut device, operation, before);
            if model == *before {
                counts.old += 1;
            } else {
                counts.new += 1;
            }
            work_on(&mut device, &model, following);

            let stride = if recovery > SHORT_RECOVERY { STRIDE } else { 1 };
            for second in (1 + at % stride..=recovery).step_by(stride as usize) {
                let flash = start_with_cut(&torn, second, seed ^ second);
                let mut device = Device::start(flash);
                let model = check(&mut device, operation, before);
                counts.cuts_of_recovery += 1;
                if second % 4 == 0 {
                    work_on(&mut device, &model, following);
                }
            }
        }
    }
}

fn run(pages: usize, operations: &[Operation], seeds: u64) -> Counts {
    let mut counts = Counts::default();
    let mut model = Model::new();
    let mut device = Device::new(pages);
    for (number, operation) in operations.iter().enumerate() {
        let following = &operations[number + 1..operations.len().min(number + 4)];
        let flash = device.flash.clone();
        cut_everywhere(&flash, operation, following, &model, seeds, &mut counts);
        device.apply(operation).unwrap();
        operation.apply(&mut model);
        device.check(&KEYS, &model);
    }
    counts.erases = device.flash.counters().erases;
    counts.page_changes = device.flash.erase_counts().iter().sum();
    device.check_surroundings();
    println!("{counts:?}");
    assert!(counts.old > 0 && counts.new > 0 && counts.cuts_of_recovery > 0);
    assert!(counts.erases >= 3, "pages were moved");
    counts
}

#[test]
fn a_cut_anywhere_leaves_the_old_or_the_new_value() {
    let counts = run(5, &life(60), 4);
    assert_eq!(counts.cuts, 4 * counts.operations);
}

#[test]
fn with_the_fewest_pages_a_cut_anywhere_leaves_the_old_or_the_new_value() {
    let operations: Vec<_> = life(60)
        .into_iter()
        .filter(|operation| operation.key() != LARGE)
        .collect();
    run(3, &operations, 4);
}

#[test]
fn a_page_is_void_before_it_is_erased() {
    let mut device = Device::new(3);
    let mut erases = 0;
    for round in 0..60 {
        let value = Value::blob(300, round);
        let start = device.flash.clone();
        device.set(STATE, &value).unwrap();
        let mut begun = start.counters().erases;
        for at in 1..=device.flash.operations() - start.operations() {
            let mut torn = Device::start(start.clone());
            torn.flash.cut_after(at, u64::from(round));
            torn.set(STATE, &value).unwrap_err();
            if torn.flash.counters().erases == begun {
                continue;
            }
            begun = torn.flash.counters().erases;
            // An erasure cut short may leave any part of the page as it was.
            let erased = torn.flash.erase_counts().iter().zip(start.erase_counts());
            let sector = erased.enumerate().find(|(_, (now, then))| now > then);
            let (sector, _) = sector.unwrap();
            let before = last_write_before_erase(&start, &value, at);
            assert_eq!(before.bytes((sector * 4096) as u32, 32), [0; 32]);
            erases += 1;
        }
    }
    assert!(erases >= 3, "{erases}");
}

/// The flash as it is when its operation `at`, an erasure, begins.
fn last_write_before_erase(start: &SimFlash, value: &Value, at: u64) -> SimFlash {
    let mut device = Device::start(start.clone());
    device.flash.fail_writes(at);
    device.set(STATE, value).unwrap_err();
    device.flash
}

#[test]
fn bytes_of_a_value_never_become_an_item() {
    run(3, &forgeries(), 8);
}
