//! Any sequence of operations, with restarts and power cuts in between, against a map.

use airlift_firmware::flash::nvs::NvsError;
use proptest::prelude::*;

use crate::device::{Device, Key, Model, Operation, Value};

const KEYS: [Key; 6] = [
    ("airlift", "state"),
    ("airlift", "attempts"),
    ("airlift", "url"),
    ("wifi", "state"),
    ("wifi", "password"),
    ("wifi", "large"),
];
const PAGES: usize = 5;
/// Entries of all pages but the free one.
const ENTRIES: usize = (PAGES - 1) * 126;

#[derive(Clone, Debug)]
enum Step {
    Do(Operation),
    Restart,
    /// The power fails in one of the operations on the flash, if there are so many.
    Cut(Operation, u64, u64),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => any::<u8>().prop_map(Value::U8),
        1 => any::<u16>().prop_map(Value::U16),
        1 => any::<u32>().prop_map(Value::U32),
        1 => any::<u64>().prop_map(Value::U64),
        1 => any::<i8>().prop_map(Value::I8),
        1 => any::<i16>().prop_map(Value::I16),
        1 => any::<i32>().prop_map(Value::I32),
        1 => any::<i64>().prop_map(Value::I64),
        2 => (0..200_usize).prop_map(|length| Value::Text("ä".repeat(length))),
        4 => (0..600_usize, any::<u16>())
            .prop_map(|(length, number)| Value::blob(length, number.into())),
        1 => (3000..5000_usize, any::<u16>())
            .prop_map(|(length, number)| Value::blob(length, number.into())),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (prop::sample::select(&KEYS), value())
            .prop_map(|(key, value)| Operation::Set(key, value)),
        1 => prop::sample::select(&KEYS).prop_map(Operation::Erase),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => operation().prop_map(Step::Do),
        1 => Just(Step::Restart),
        3 => (operation(), 1..40_u64, any::<u64>())
            .prop_map(|(operation, at, seed)| Step::Cut(operation, at, seed)),
    ]
}

/// No room is an answer only where room is short: the value, everything else and the scraps that
/// strings leave at the end of a page.
fn expect_done(done: &Result<(), NvsError<impl std::fmt::Debug>>, next: &Operation, model: &Model) {
    if let Err(error) = done {
        assert!(matches!(error, NvsError::Full), "{error:?}");
        let Operation::Set(_, value) = next else {
            panic!("erasing needs no room");
        };
        let held: usize = model.values().map(|value| value.entries() + 1).sum();
        let needed = held + value.entries() + 2;
        assert!(needed > ENTRIES / 2, "{needed} entries of {ENTRIES}");
    }
}

fn run(steps: &[Step]) {
    let mut device = Device::new(PAGES);
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Restart => device = device.restart(),
            Step::Do(next) => {
                let done = device.apply(next);
                expect_done(&done, next, &model);
                if done.is_ok() {
                    next.apply(&mut model);
                }
            }
            Step::Cut(next, at, seed) => {
                device.flash.cut_after(*at, *seed);
                let done = device.apply(next);
                if device.flash.is_cut() {
                    device.flash.power_on();
                    device = device.restart();
                    let old = model.get(&next.key()).cloned();
                    let held = device.get(next.key());
                    if held != old {
                        next.apply(&mut model);
                    }
                } else {
                    device.flash.cancel_cut();
                    expect_done(&done, next, &model);
                    if done.is_ok() {
                        next.apply(&mut model);
                    }
                }
            }
        }
        device.check(&KEYS, &model);
    }
    device.check_surroundings();
    device.restart().check(&KEYS, &model);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_is_a_map_that_survives(steps in prop::collection::vec(step(), 1..120)) {
        run(&steps);
    }
}
