//! ESP-IDF's error words for updates, so that a sketch's author reads what they know.

use core::{error::Error, fmt};

/// An error of the update session; `Display` is ESP-IDF's literal name.
///
/// Source: ESP-IDF, `esp_err.h` and `esp_ota_ops.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EspError {
    /// The partition is no OTA partition, or the handle or data are none.
    InvalidArg,
    /// Another session is open, or there is nothing to do this with.
    InvalidState,
    /// More bytes than the partition has, or than were announced.
    InvalidSize,
    /// The handle, the partition or otadata is not there.
    NotFound,
    /// The flash did not erase, write or read.
    FlashOpFail,
    /// The partition is the running one.
    OtaPartitionConflict,
    /// No partition is selected by otadata.
    OtaSelectInfoInvalid,
    /// The image is not valid.
    OtaValidateFailed,
    /// There is no other app to go back to.
    OtaRollbackFailed,
    /// The running app is still on trial; it must be confirmed first.
    OtaRollbackInvalidState,
}

impl EspError {
    /// ESP-IDF's number.
    pub fn code(self) -> i32 {
        match self {
            EspError::InvalidArg => 0x102,
            EspError::InvalidState => 0x103,
            EspError::InvalidSize => 0x104,
            EspError::NotFound => 0x105,
            EspError::OtaPartitionConflict => 0x1501,
            EspError::OtaSelectInfoInvalid => 0x1502,
            EspError::OtaValidateFailed => 0x1503,
            EspError::OtaRollbackFailed => 0x1505,
            EspError::OtaRollbackInvalidState => 0x1506,
            EspError::FlashOpFail => 0x6001,
        }
    }
}

impl fmt::Display for EspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EspError::InvalidArg => "ESP_ERR_INVALID_ARG",
            EspError::InvalidState => "ESP_ERR_INVALID_STATE",
            EspError::InvalidSize => "ESP_ERR_INVALID_SIZE",
            EspError::NotFound => "ESP_ERR_NOT_FOUND",
            EspError::FlashOpFail => "ESP_ERR_FLASH_OP_FAIL",
            EspError::OtaPartitionConflict => "ESP_ERR_OTA_PARTITION_CONFLICT",
            EspError::OtaSelectInfoInvalid => "ESP_ERR_OTA_SELECT_INFO_INVALID",
            EspError::OtaValidateFailed => "ESP_ERR_OTA_VALIDATE_FAILED",
            EspError::OtaRollbackFailed => "ESP_ERR_OTA_ROLLBACK_FAILED",
            EspError::OtaRollbackInvalidState => "ESP_ERR_OTA_ROLLBACK_INVALID_STATE",
        })
    }
}

impl Error for EspError {}
