//! What callers rely on.

use airlift_firmware::flash::nvs::{BLOB_BYTES_MAX, Nvs, NvsError, STR_BYTES_MAX};
use airlift_simflash::{SimError, SimFlash};

use crate::device::{Device, Model, OFFSET, Operation, Value, partition};

fn one_of_each() -> Model {
    Model::from([
        (("airlift", "u8"), Value::U8(200)),
        (("airlift", "u16"), Value::U16(60_000)),
        (("airlift", "u32"), Value::U32(4_000_000_000)),
        (("airlift", "u64"), Value::U64(u64::MAX - 1)),
        (("airlift", "i8"), Value::I8(-100)),
        (("airlift", "i16"), Value::I16(-30_000)),
        (("airlift", "i32"), Value::I32(-2_000_000_000)),
        (("airlift", "i64"), Value::I64(i64::MIN)),
        (("airlift", "text"), Value::Text("grün".to_owned())),
        (("airlift", "no_text"), Value::Text(String::new())),
        (("airlift", "blob"), Value::blob(300, 1)),
        (("airlift", "no_blob"), Value::blob(0, 1)),
        (("airlift", "large"), Value::blob(4000, 2)),
        (("airlift", "larger"), Value::blob(9001, 3)),
        (("other", "u8"), Value::U8(7)),
        (("fifteen_letters", "fifteen-letters"), Value::U8(15)),
    ])
}

#[test]
fn values_of_every_type_are_there_after_a_restart() {
    let mut device = Device::new(6);
    let model = one_of_each();
    for (key, value) in &model {
        device.set(*key, value).unwrap();
    }
    device.check(model.keys(), &model);
    let mut device = device.restart();
    device.check(model.keys(), &model);
    device.check_surroundings();
}

#[test]
fn a_blank_partition_holds_nothing() {
    let mut device = Device::new(3);
    assert_eq!(device.get(("airlift", "state")), None);
    assert_eq!(device.flash.operations(), 0);
}

#[test]
fn a_partition_full_of_noise_becomes_an_empty_one() {
    let mut bytes = vec![0; 4 * 4096];
    airlift_simflash::Random::new(5).fill(&mut bytes);
    let mut device = Device::from_partition(&bytes);
    assert_eq!(device.get(("airlift", "state")), None);
    for number in 0..200 {
        let value = Value::blob(300, number);
        device.set(("airlift", "state"), &value).unwrap();
        assert_eq!(device.get(("airlift", "state")), Some(value));
    }
}

#[test]
fn an_equal_value_writes_nothing() {
    let mut device = Device::new(6);
    let model = one_of_each();
    for (key, value) in &model {
        device.set(*key, value).unwrap();
    }
    let mut device = device.restart();
    let operations = device.flash.operations();
    for (key, value) in &model {
        device.set(*key, value).unwrap();
    }
    assert_eq!(device.flash.operations(), operations);
}

#[test]
fn a_clean_mount_writes_nothing() {
    let mut device = Device::new(6);
    for (key, value) in &one_of_each() {
        device.set(*key, value).unwrap();
    }
    let operations = device.flash.operations();
    let device = device.restart();
    assert_eq!(device.flash.operations(), operations);
}

#[test]
fn a_key_takes_a_value_of_another_type_instead() {
    let mut device = Device::new(4);
    let values = [
        Value::U8(1),
        Value::Text("one".to_owned()),
        Value::blob(500, 1),
        Value::I64(1),
        Value::blob(0, 1),
        Value::U32(1),
    ];
    for value in values {
        device.set(("airlift", "key"), &value).unwrap();
        assert_eq!(device.get(("airlift", "key")), Some(value.clone()));
        device = device.restart();
        assert_eq!(device.get(("airlift", "key")), Some(value));
    }
}

#[test]
fn an_erased_key_is_gone_and_its_neighbours_are_not() {
    let mut device = Device::new(6);
    let mut model = one_of_each();
    for (key, value) in &model {
        device.set(*key, value).unwrap();
    }
    let all: Vec<_> = model.keys().copied().collect();
    for key in [("airlift", "larger"), ("airlift", "text"), ("other", "u8")] {
        let operation = Operation::Erase(key);
        device.apply(&operation).unwrap();
        operation.apply(&mut model);
        device.check(&all, &model);
    }
    device.restart().check(&all, &model);
}

#[test]
fn erasing_what_is_not_there_writes_nothing() {
    let mut device = Device::new(3);
    device.apply(&Operation::Erase(("airlift", "key"))).unwrap();
    assert_eq!(device.flash.operations(), 0);
}

#[test]
fn a_small_buffer_is_told_what_it_would_need() {
    let mut device = Device::new(4);
    device.set(("a", "blob"), &Value::blob(300, 1)).unwrap();
    device
        .set(("a", "text"), &Value::Text("seven..".to_owned()))
        .unwrap();
    let Device { nvs, flash, .. } = &mut device;
    assert_eq!(
        nvs.get_blob(flash, "a", "blob", &mut [0; 299]),
        Err(NvsError::Buffer { needed: 300 })
    );
    assert_eq!(
        nvs.get_str(flash, "a", "text", &mut [0; 6]),
        Err(NvsError::Buffer { needed: 7 })
    );
    assert_eq!(
        nvs.get_str(flash, "a", "text", &mut [0; 7]),
        Ok(Some("seven.."))
    );
}

#[test]
fn names_and_values_beyond_the_limits_are_refused() {
    let mut device = Device::new(4);
    let Device { nvs, flash, .. } = &mut device;
    for name in ["", "sixteen_letters_", "a\0b"] {
        assert_eq!(nvs.set_u8(flash, name, "key", 1), Err(NvsError::Name));
        assert_eq!(nvs.set_u8(flash, "a", name, 1), Err(NvsError::Name));
        assert_eq!(nvs.get_u8(flash, name, "key"), Err(NvsError::Name));
        assert_eq!(nvs.erase_key(flash, "a", name), Err(NvsError::Name));
    }
    let long = "x".repeat(STR_BYTES_MAX + 1);
    let limit = STR_BYTES_MAX;
    assert_eq!(
        nvs.set_str(flash, "a", "key", &long),
        Err(NvsError::TooLong { limit })
    );
    assert_eq!(nvs.set_str(flash, "a", "key", "a\0b"), Err(NvsError::Text));
    let limit = BLOB_BYTES_MAX;
    assert_eq!(
        nvs.set_blob(flash, "a", "key", &vec![0; limit + 1]),
        Err(NvsError::TooLong { limit })
    );
    assert_eq!(flash.operations(), 0);
    nvs.set_str(flash, "a", "key", &long[1..]).unwrap();
    assert_eq!(
        device.get(("a", "key")),
        Some(Value::Text(long[1..].to_owned()))
    );
}

#[test]
fn a_partition_that_is_none_is_refused() {
    let mut flash = SimFlash::new(64 * 4096);
    for (offset, size) in [
        (OFFSET + 4, 0x4000),
        (OFFSET, 0x4001),
        (OFFSET, 0),
        (OFFSET, 0x1000),
        (0, 33 * 0x1000),
    ] {
        let mut partition = partition(4);
        (partition.offset, partition.size) = (offset, size);
        let refusal = Nvs::mount(&mut flash, &partition).unwrap_err();
        assert_eq!(refusal, NvsError::Partition, "{offset:#x} {size:#x}");
    }
    let mut partition = partition(32);
    partition.offset = 60 * 4096;
    let refusal = Nvs::mount(&mut flash, &partition).unwrap_err();
    assert!(matches!(
        refusal,
        NvsError::Flash(SimError::OutOfBounds { .. })
    ));
}

#[test]
fn without_room_the_old_value_stays_and_smaller_ones_still_go_in() {
    let mut device = Device::new(3);
    let key = ("airlift", "blob");
    let old = Value::blob(3900, 1);
    device.set(key, &old).unwrap();
    // Two pages of three can be used: 252 entries. Old and new value lie there side by side.
    let refusal = device.set(key, &Value::blob(4100, 2));
    assert_eq!(refusal, Err(NvsError::Full));
    assert_eq!(device.get(key), Some(old.clone()));
    let mut device = device.restart();
    assert_eq!(device.get(key), Some(old));
    for number in 0..300 {
        let value = Value::blob(3000, number);
        device.set(key, &value).unwrap();
        assert_eq!(device.get(key), Some(value));
    }
}

#[test]
fn a_full_partition_refuses_the_next_key_without_wearing_out() {
    let mut device = Device::new(4);
    let mut names = Vec::new();
    let refusal = loop {
        let name = format!("key{}", names.len());
        match device
            .nvs
            .set_u32(&mut device.flash, "airlift", &name, names.len() as u32)
        {
            Ok(()) => names.push(name),
            Err(error) => break error,
        }
    };
    assert_eq!(refusal, NvsError::Full);
    // One entry is the namespace's.
    assert_eq!(names.len(), 3 * 126 - 1);
    let operations = device.flash.operations();
    for _ in 0..100 {
        let answer = device.nvs.set_u8(&mut device.flash, "airlift", "new", 1);
        assert_eq!(answer, Err(NvsError::Full));
    }
    assert_eq!(device.flash.operations(), operations);
    let mut device = device.restart();
    let Device { nvs, flash, .. } = &mut device;
    for (number, name) in names.iter().enumerate() {
        let value = nvs.get_u32(flash, "airlift", name).unwrap();
        assert_eq!(value, Some(number as u32));
    }
    nvs.erase_key(flash, "airlift", &names[100]).unwrap();
    nvs.set_u8(flash, "airlift", "new", 1).unwrap();
    assert_eq!(device.get(("airlift", "new")), Some(Value::U8(1)));
}

#[test]
fn after_a_failure_of_the_flash_the_next_call_recovers() {
    let mut device = Device::new(3);
    let key = ("airlift", "state");
    let mut value = Value::blob(300, 0);
    device.set(key, &value).unwrap();
    let mut failures = 0;
    for number in 1..200 {
        let next = Value::blob(300, number);
        device.flash.fail_writes(u64::from(number % 7) + 1);
        match device.set(key, &next) {
            Ok(()) => value = next,
            Err(NvsError::Flash(SimError::WornOut)) => {
                failures += 1;
                device.flash.stop_failing();
                let held = device.get(key).unwrap();
                assert!(held == value || held == next);
                value = held;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failures > 50, "{failures}");
    assert_eq!(u64::from(device.flash.failures_fired()), failures);
    assert_eq!(device.restart().get(key), Some(value));
}
