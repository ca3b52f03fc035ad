//! `esp-nvs`, another implementation of the format: each reads what the other wrote.

use airlift_simflash::Random;
use esp_nvs::{Key as TheirKey, mem_flash::MemFlash};

use crate::device::{Device, Key, Model, Value};

type Theirs = esp_nvs::Nvs<MemFlash>;

fn their_value(theirs: &mut Theirs, (namespace, key): Key, like: &Value) -> Option<Value> {
    let (namespace, key) = (&TheirKey::from_str(namespace), &TheirKey::from_str(key));
    match like {
        Value::U8(_) => theirs.get(namespace, key).map(Value::U8),
        Value::U16(_) => theirs.get(namespace, key).map(Value::U16),
        Value::U32(_) => theirs.get(namespace, key).map(Value::U32),
        Value::U64(_) => theirs.get(namespace, key).map(Value::U64),
        Value::I8(_) => theirs.get(namespace, key).map(Value::I8),
        Value::I16(_) => theirs.get(namespace, key).map(Value::I16),
        Value::I32(_) => theirs.get(namespace, key).map(Value::I32),
        Value::I64(_) => theirs.get(namespace, key).map(Value::I64),
        Value::Text(_) => theirs.get(namespace, key).map(Value::Text),
        Value::Blob(_) => theirs.get(namespace, key).map(Value::Blob),
    }
    .ok()
}

fn set_theirs(theirs: &mut Theirs, (namespace, key): Key, value: &Value) {
    let (namespace, key) = (&TheirKey::from_str(namespace), &TheirKey::from_str(key));
    match value {
        Value::U8(value) => theirs.set(namespace, key, *value),
        Value::U16(value) => theirs.set(namespace, key, *value),
        Value::U32(value) => theirs.set(namespace, key, *value),
        Value::U64(value) => theirs.set(namespace, key, *value),
        Value::I8(value) => theirs.set(namespace, key, *value),
        Value::I16(value) => theirs.set(namespace, key, *value),
        Value::I32(value) => theirs.set(namespace, key, *value),
        Value::I64(value) => theirs.set(namespace, key, *value),
        Value::Text(value) => theirs.set(namespace, key, value.as_str()),
        Value::Blob(value) => theirs.set(namespace, key, value.as_slice()),
    }
    .unwrap();
}

const KEYS: [Key; 11] = [
    ("airlift", "u8"),
    ("airlift", "u16"),
    ("airlift", "u32"),
    ("airlift", "u64"),
    ("wifi", "i8"),
    ("wifi", "i16"),
    ("wifi", "i32"),
    ("wifi", "i64"),
    ("wifi", "text"),
    ("airlift", "blob"),
    ("airlift", "large"),
];

/// A new value for a key, always of the same type.
fn value(key: Key, random: &mut Random) -> Value {
    let bits = random.bits();
    match key.1 {
        "u8" => Value::U8(bits as u8),
        "u16" => Value::U16(bits as u16),
        "u32" => Value::U32(bits as u32),
        "u64" => Value::U64(bits),
        "i8" => Value::I8(bits as i8),
        "i16" => Value::I16(bits as i16),
        "i32" => Value::I32(bits as i32),
        "i64" => Value::I64(bits as i64),
        "text" => Value::Text("t".repeat(random.below(300))),
        "blob" => Value::blob(random.below(600), bits as u32),
        _ => Value::blob(4500 + random.below(1000), bits as u32),
    }
}

fn open(partition: Vec<u8>) -> Theirs {
    let length = partition.len();
    esp_nvs::Nvs::new(0, length, MemFlash::from_bytes(partition)).unwrap()
}

fn compare(device: &Device, model: &Model, rounds: u32) {
    let mut theirs = open(device.partition_bytes());
    for (key, value) in model {
        let held = their_value(&mut theirs, *key, value);
        assert_eq!(held.as_ref(), Some(value), "{key:?}, round {rounds}");
    }
    let keys = theirs.keys().filter(Result::is_ok).count();
    assert_eq!(keys, model.len(), "round {rounds}");
    // Nothing had to be repaired. A page without an empty entry is marked full at once there, and
    // here, as in ESP-IDF, when the next item does not fit: that is a bit of its first byte.
    let (theirs, ours) = (theirs.into_inner().into_inner(), device.partition_bytes());
    let changed: Vec<_> = (0..ours.len())
        .filter(|at| !at.is_multiple_of(4096) && theirs[*at] != ours[*at])
        .collect();
    assert!(changed.is_empty(), "round {rounds}: {changed:x?}");
}

#[test]
fn another_implementation_reads_all_that_is_written_here() {
    let seed = 11;
    let mut random = Random::new(seed);
    let mut device = Device::new(6);
    let mut model = Model::new();
    for key in KEYS {
        let value = value(key, &mut random);
        device.set(key, &value).unwrap();
        model.insert(key, value);
    }
    compare(&device, &model, 0);
    for round in 1..300 {
        let key = KEYS[random.below(KEYS.len())];
        if random.below(8) == 0 {
            let (namespace, name) = key;
            device
                .nvs
                .erase_key(&mut device.flash, namespace, name)
                .unwrap();
            model.remove(&key);
        } else {
            let value = value(key, &mut random);
            device.set(key, &value).unwrap();
            model.insert(key, value);
        }
        compare(&device, &model, round);
    }
    let erases = device.flash.counters().erases;
    println!("read after each of 300 changes with {erases} pages moved");
    assert!(erases > 20, "{erases}");
}

#[test]
fn what_another_implementation_wrote_is_read_here() {
    let mut random = Random::new(12);
    let mut theirs = open(vec![0xff; 6 * 4096]);
    let mut model = Model::new();
    for round in 0..300 {
        let key = KEYS[round % KEYS.len()];
        let value = value(key, &mut random);
        set_theirs(&mut theirs, key, &value);
        model.insert(key, value);
        if round % 10 == 0 {
            let bytes = theirs.into_inner().into_inner();
            let mut device = Device::from_partition(&bytes);
            device.check(&KEYS, &model);
            assert_eq!(device.flash.operations(), 0, "nothing had to be repaired");
            theirs = open(bytes);
        }
    }
}

#[test]
fn both_take_turns_on_one_partition() {
    let mut random = Random::new(13);
    let mut partition = vec![0xff; 6 * 4096];
    let mut model = Model::new();
    for turn in 0..40 {
        let changes: Vec<_> = (0..10)
            .map(|_| {
                let key = KEYS[random.below(KEYS.len())];
                (key, value(key, &mut random))
            })
            .collect();
        if turn % 2 == 0 {
            let mut device = Device::from_partition(&partition);
            for (key, value) in &changes {
                device.set(*key, value).unwrap();
            }
            partition = device.partition_bytes();
        } else {
            let mut theirs = open(partition);
            for (key, value) in &changes {
                set_theirs(&mut theirs, *key, value);
            }
            partition = theirs.into_inner().into_inner();
        }
        model.extend(changes);
        Device::from_partition(&partition).check(&KEYS, &model);
    }
}
