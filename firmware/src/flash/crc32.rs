//! CRC-32 as the ESP32's ROM computes it: otadata entries and NVS both carry it, and no crate's
//! version of it takes the ROM's odd initial value.

/// The polynomial 0x04C11DB7, reflected.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// One entry for each nibble: 64 bytes of flash instead of a kilobyte.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut crc = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[nibble] = crc;
        nibble += 1;
    }
    table
};

/// `esp_rom_crc32_le`: the checksum of what came before (0 for the usual CRC-32; ESP-IDF's formats
/// start with 0xFFFF_FFFF) goes in, that of all together comes out.
pub(crate) fn crc32_le(initial: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!initial, |crc, &byte| {
        let crc = crc ^ u32::from(byte);
        let crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        (crc >> 4) ^ TABLE[(crc & 15) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::crc32_le;

    #[test]
    fn the_check_value_of_crc_32_comes_out() {
        assert_eq!(crc32_le(0, b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_sum_can_be_continued() {
        let start = crc32_le(0, b"1234");
        assert_eq!(crc32_le(start, b"56789"), 0xCBF4_3926);
    }

    #[test]
    fn the_first_otadata_sequence_number_sums_as_the_bootloader_has_it() {
        assert_eq!(crc32_le(u32::MAX, &1u32.to_le_bytes()), 0x4743_989A);
    }
}
