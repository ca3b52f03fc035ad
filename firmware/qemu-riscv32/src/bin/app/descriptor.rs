//! What ESP-IDF's tools and the bootloader's log tell of an image: `esp_app_desc_t`.

use core::ptr;

use heapless::String;

const MAGIC: u32 = 0xABCD_5432;
const TEXT_BYTES: usize = 32;

#[repr(C)]
struct Descriptor {
    magic: u32,
    secure_version: u32,
    reserved_1: [u32; 2],
    version: [u8; TEXT_BYTES],
    project: [u8; TEXT_BYTES],
    time: [u8; 16],
    date: [u8; 16],
    idf_version: [u8; TEXT_BYTES],
    elf_sha256: [u8; 32],
    min_block_revision: u16,
    max_block_revision: u16,
    mmu_page_size: u8,
    reserved_2: [u8; 75],
}

const _: () = assert!(size_of::<Descriptor>() == 256);

/// At the start of the image, where the linker script puts it and builders of images write the
/// version into it.
#[used]
#[unsafe(link_section = ".app_desc")]
static DESCRIPTOR: Descriptor = Descriptor {
    magic: MAGIC,
    secure_version: 0,
    reserved_1: [0; 2],
    version: padded(env!("CARGO_PKG_VERSION")),
    project: padded(env!("CARGO_PKG_NAME")),
    time: [0; 16],
    date: [0; 16],
    idf_version: [0; TEXT_BYTES],
    elf_sha256: [0; 32],
    min_block_revision: 0,
    max_block_revision: u16::MAX,
    mmu_page_size: 16,
    reserved_2: [0; 75],
};

const fn padded(text: &str) -> [u8; TEXT_BYTES] {
    let mut bytes = [0; TEXT_BYTES];
    // One byte is left for the zero that ends it.
    assert!(text.len() < TEXT_BYTES);
    let mut at = 0;
    while at < text.len() {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// The version this image was given after it was linked.
pub fn version() -> String<TEXT_BYTES> {
    // SAFETY: a live static; volatile because what it holds is not what the compiler knows.
    let bytes = unsafe { ptr::read_volatile(&raw const DESCRIPTOR.version) };
    let mut version = String::new();
    for byte in bytes.into_iter().take_while(u8::is_ascii_graphic) {
        // As long as the field.
        let _ = version.push(char::from(byte));
    }
    version
}
