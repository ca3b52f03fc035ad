//! Which app partition runs.

use airlift_firmware::Running;
use esp_bootloader_esp_idf::partitions::{self, PARTITION_TABLE_MAX_LEN};
use esp_storage::FlashStorage;

/// Type and subtypes of ESP-IDF, "Partition Tables".
const APP: u8 = 0x00;
const FACTORY: u8 = 0x00;
const OTA_FIRST: u8 = 0x10;
const OTA_LAST: u8 = 0x1F;

/// The app partition that the MMU maps to the program's addresses: what runs, whatever otadata says
/// by now. `None` if the partition table is bad or does not have it.
pub fn running(flash: &mut FlashStorage<'_>) -> Option<Running> {
    let mut bytes = [0; PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(flash, &mut bytes).ok()?;
    let booted = table.booted_partition().ok()??;
    match (booted.raw_type(), booted.raw_subtype()) {
        (APP, FACTORY) => Some(Running::Factory),
        (APP, subtype @ OTA_FIRST..=OTA_LAST) => Some(Running::Ota(subtype - OTA_FIRST)),
        _ => None,
    }
}
