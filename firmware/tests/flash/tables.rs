//! The tables that come with the firmware.

use airlift_firmware::flash::partition_table::{PARTITION_TABLE_BYTES, PartitionTable};

pub const DEFAULT_OTA: &str = include_str!("../../../crates/esp/tables/default_ota.csv");
pub const MIN_SPIFFS: &str = include_str!("../../../crates/esp/tables/min_spiffs.csv");
pub const HUGE_APP: &str = include_str!("../../../crates/esp/tables/huge_app.csv");
pub const WROOM: &str = include_str!("../../../crates/esp/tables/esp32-wroom.csv");
pub const WROVER: &str = include_str!("../../../crates/esp/tables/esp32-wrover.csv");
pub const ESP32C3: &str = include_str!("../../../crates/esp/tables/esp32c3.csv");
pub const QEMU_RISCV32: &str = include_str!("../../../crates/esp/tables/qemu-riscv32.csv");
pub const RAW: &str = include_str!("../../../crates/esp/tables/raw.csv");

/// Name, text, bytes of the flash that it is for.
pub const ALL: [(&str, &str, u32); 8] = [
    ("default_ota", DEFAULT_OTA, 4 << 20),
    ("min_spiffs", MIN_SPIFFS, 4 << 20),
    ("huge_app", HUGE_APP, 4 << 20),
    ("esp32-wroom", WROOM, 4 << 20),
    ("esp32-wrover", WROVER, 8 << 20),
    ("esp32c3", ESP32C3, 4 << 20),
    ("qemu-riscv32", QEMU_RISCV32, 1 << 20),
    ("raw", RAW, 0x8011_0000),
];

/// Factory and two slots, in 256 KiB.
pub const WITH_FACTORY: &str = "\
nvs,     data, nvs,     0x9000,  0x5000
otadata, data, ota,     0xE000,  0x2000
factory, app,  factory, 0x10000, 0x10000
ota_0,   app,  ota_0,   0x20000, 0x10000
ota_1,   app,  ota_1,   0x30000, 0x10000
";

pub fn parse(csv: &str) -> PartitionTable {
    PartitionTable::from_csv(csv).unwrap_or_else(|error| panic!("{error}\n{csv}"))
}

pub fn binary(table: &PartitionTable) -> [u8; PARTITION_TABLE_BYTES] {
    let mut bytes = [0x5A; PARTITION_TABLE_BYTES];
    table.to_binary(&mut bytes);
    bytes
}
