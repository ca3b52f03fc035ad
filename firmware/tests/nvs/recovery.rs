//! States that no power cut alone leaves.

use airlift_firmware::flash::nvs::{Nvs, NvsError};
use airlift_simflash::SimFlash;

use crate::device::{Device, Key, Model, OFFSET, Value, crc, partition};

const KEY: Key = ("airlift", "blob");
const STATE_FREEING: [u8; 4] = 0xffff_fff8_u32.to_le_bytes();

/// Four pages, three of them in use.
fn used() -> (SimFlash, Model) {
    let mut device = Device::new(4);
    let mut model = Model::new();
    let keys = ["a", "b", "c", "d", "e"];
    for (number, key) in keys.into_iter().enumerate() {
        let value = Value::blob(2000, number as u32);
        device.set(("airlift", key), &value).unwrap();
        model.insert(("airlift", key), value);
    }
    (device.flash, model)
}

#[test]
fn a_page_to_be_freed_beside_unrelated_new_values_loses_neither() {
    let (mut flash, model) = used();
    flash.load(OFFSET, &STATE_FREEING);
    for _ in 0..3 {
        let mut device = Device::start(flash);
        device.check(model.keys(), &model);
        flash = device.flash;
    }
}

#[test]
fn a_spoilt_value_is_not_handed_out_and_can_be_saved_again() {
    let mut device = Device::new(3);
    device.set(KEY, &Value::blob(300, 1)).unwrap();
    device
        .set(("airlift", "text"), &Value::Text("some text".to_owned()))
        .unwrap();
    // Header, states, namespace, and the head of the blob's one chunk; text: behind 10 entries and
    // the index.
    for entry in [4, 2 + 1 + 1 + 10 + 1 + 1] {
        device.flash.flip_bit(OFFSET + entry * 32, 3);
    }
    let Device { nvs, flash, .. } = &mut device;
    assert_eq!(
        nvs.get_blob(flash, "airlift", "blob", &mut [0; 300]),
        Ok(None)
    );
    assert_eq!(
        nvs.get_str(flash, "airlift", "text", &mut [0; 30]),
        Ok(None)
    );
    device.set(KEY, &Value::blob(300, 1)).unwrap();
    assert_eq!(device.restart().get(KEY), Some(Value::blob(300, 1)));
}

#[test]
fn a_page_with_a_spoilt_header_does_not_harm_the_others() {
    let (mut flash, model) = used();
    flash.flip_bit(OFFSET + 4096 + 28, 0);
    let mut device = Device::start(flash);
    let held = model
        .iter()
        .filter(|(key, value)| match device.get(**key) {
            Some(held) => {
                assert_eq!(held, **value);
                true
            }
            None => false,
        })
        .count();
    assert!((1..model.len()).contains(&held), "{held}");
    for number in 0..100 {
        device
            .set(("airlift", "a"), &Value::blob(300, number))
            .unwrap();
    }
}

#[test]
fn a_newer_version_of_the_format_is_left_alone() {
    let (mut flash, _) = used();
    let mut header = flash.bytes(OFFSET, 32);
    header[8] = 0xfd;
    let crc = crc(&header[4..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    flash.load(OFFSET, &header);
    let refusal = Nvs::mount(&mut flash, &partition(4)).unwrap_err();
    assert_eq!(refusal, NvsError::NewerVersion);
}
