//! How long the flash lasts.

use crate::device::{Device, OFFSET, Value};

const UPDATES: u32 = 1_000;
const PAGES: usize = 5;

#[test]
fn a_thousand_updates_erase_each_page_alike_and_seldom() {
    let mut device = Device::new(PAGES);
    for number in 0..UPDATES {
        let value = Value::blob(300, number);
        device.set(("airlift", "state"), &value).unwrap();
    }
    let first = OFFSET as usize / 4096;
    let erases = &device.flash.erase_counts()[first..first + PAGES];
    let sum: u32 = erases.iter().sum();
    println!("{UPDATES} updates of 300 bytes: {sum} erases, by page {erases:?}");
    // 12 entries each, 126 in a page, and a little for what moves along.
    assert!((50..=130).contains(&sum), "{sum}");
    let (least, most) = (erases.iter().min().unwrap(), erases.iter().max().unwrap());
    assert!(most * 2 <= least * 3, "{erases:?}");
}
