//! Espressif's own generator of NVS images, with which gateways are prepared before delivery.

use std::{fs, path::Path, process::Command};

use airlift_testkit::python_with;

use crate::device::{Device, Model, Value};

/// Another version may write other images.
const VERSION: &str = "0.3.0";
const PAGES: usize = 8;

fn values() -> Model {
    Model::from([
        (("airlift", "u8"), Value::U8(254)),
        (("airlift", "u16"), Value::U16(65_000)),
        (("airlift", "u32"), Value::U32(4_000_000_001)),
        (("airlift", "i32"), Value::I32(-123_456)),
        (("airlift", "u64"), Value::U64(10_000_000_000_000_000_001)),
        (
            ("wifi", "ssid"),
            Value::Text("Airlift test network".to_owned()),
        ),
        (("wifi", "hex"), Value::Blob(vec![0xde, 0xad, 0xbe, 0xef])),
        (("wifi", "certificate"), Value::blob(9_500, 4)),
        (("wifi", "last"), Value::U8(1)),
    ])
}

#[test]
fn what_the_generator_of_esp_idf_writes_is_read_and_can_be_changed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvs-generator");
    fs::create_dir_all(&folder).unwrap();
    let mut model = values();
    let mut csv = String::from("key,type,encoding,value\n");
    let mut last_namespace = "";
    for ((namespace, key), value) in &model {
        if *namespace != last_namespace {
            csv += &format!("{namespace},namespace,,\n");
            last_namespace = namespace;
        }
        csv += &match value {
            Value::U8(value) => format!("{key},data,u8,{value}\n"),
            Value::U16(value) => format!("{key},data,u16,{value}\n"),
            Value::U32(value) => format!("{key},data,u32,{value}\n"),
            Value::U64(value) => format!("{key},data,u64,{value}\n"),
            Value::I32(value) => format!("{key},data,i32,{value}\n"),
            Value::Text(value) => format!("{key},data,string,{value}\n"),
            Value::Blob(bytes) if bytes.len() < 100 => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{key},data,hex2bin,{digits}\n")
            }
            Value::Blob(bytes) => {
                let file = folder.join(format!("{key}.bin"));
                fs::write(&file, bytes).unwrap();
                format!("{key},file,binary,{}\n", file.display())
            }
            other => unreachable!("{other:?}"),
        };
    }
    let (table, image) = (folder.join("nvs.csv"), folder.join("nvs.bin"));
    fs::write(&table, csv).unwrap();
    generate(&table, &image, "2");
    let bytes = fs::read(&image).unwrap();
    assert_eq!(bytes.len(), PAGES * 4096);
    let mut device = Device::from_partition(&bytes);
    let keys: Vec<_> = model.keys().copied().collect();
    device.check(&keys, &model);
    assert_eq!(device.flash.operations(), 0, "nothing had to be repaired");

    for number in 0..200 {
        let change = (
            ("wifi", "certificate"),
            Value::blob(5_000 + number, number as u32),
        );
        device.set(change.0, &change.1).unwrap();
        model.extend([change]);
        device.check(&keys, &model);
    }
    device.restart().check(&keys, &model);
}

#[test]
fn blobs_of_the_first_version_are_read_and_replaced() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvs-generator-1");
    fs::create_dir_all(&folder).unwrap();
    let (table, image) = (folder.join("nvs.csv"), folder.join("nvs.bin"));
    let csv = "key,type,encoding,value\nairlift,namespace,,\nblob,data,hex2bin,c0ffee\n\
               text,data,string,some text\n";
    fs::write(&table, csv).unwrap();
    generate(&table, &image, "1");
    let bytes = fs::read(&image).unwrap();
    // Type of the item behind the namespace's.
    assert_eq!(bytes[64 + 32 + 1], 0x41);

    let mut device = Device::from_partition(&bytes);
    let (blob, text) = (("airlift", "blob"), ("airlift", "text"));
    assert_eq!(device.get(blob), Some(Value::Blob(vec![0xc0, 0xff, 0xee])));
    assert_eq!(device.get(text), Some(Value::Text("some text".to_owned())));
    for number in 0..100 {
        let value = Value::blob(300, number);
        device.set(blob, &value).unwrap();
        assert_eq!(device.get(blob), Some(value));
    }
    let mut device = device.restart();
    assert_eq!(device.get(blob), Some(Value::blob(300, 99)));
    assert_eq!(device.get(text), Some(Value::Text("some text".to_owned())));
}

fn generate(table: &Path, image: &Path, version: &str) {
    run(
        Command::new(python_with("esp-idf-nvs-partition-gen", VERSION).unwrap())
            .args(["-m", "esp_idf_nvs_partition_gen", "generate"])
            .args(["--version", version])
            .args([table, image])
            .arg(format!("{:#x}", PAGES * 4096)),
    );
}

fn run(command: &mut Command) {
    let advice = "this test needs python3 with venv and a way to PyPI";
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {advice}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {text}\n{errors}; {advice}"
    );
}
