//! Signed bundles, for all who touch one: the build machine makes and signs them, the server checks
//! and unpacks them, the device checks the signature before it takes a byte.
//!
//! A bundle `.jota` is a tar archive under zstd with `manifest.json`, its detached OpenPGP signature
//! `manifest.json.asc`, and the parts `firmware.bin` and `web_spiffs.bin`, in this order. Whoever has
//! checked the signature trusts the manifest, and by its digests the parts.
//!
//! Without the feature `std` there is what a device needs.
//!
//! To add a field to the manifest: [`manifest`]'s struct and its checks, what the device reads of it,
//! and `docs/bundles.md`.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod archive;
#[cfg(feature = "std")]
mod error;
mod field;
#[cfg(feature = "std")]
pub mod image;
#[cfg(feature = "std")]
pub mod keys;
mod kind;
#[cfg(feature = "std")]
pub mod manifest;
mod refusal;
mod release;
mod signature;
#[cfg(feature = "std")]
pub mod spiffs;
mod trust;
#[cfg(feature = "std")]
pub mod web;

#[cfg(feature = "std")]
pub use archive::{Archive, PartReader, Parts};
#[cfg(feature = "std")]
pub use error::{Error, ReadError};
pub use kind::{Kind, PartName};
#[cfg(feature = "std")]
pub use manifest::{Manifest, Part};
pub use refusal::Refusal;
pub use release::{PartDigests, Release, TARGET_BYTES_MAX};
pub use signature::{ManifestDigests, Signed, Verification};
pub use trust::{KEY_NAME_BYTES_MAX, NoKey, TrustedKey};

/// Name of the manifest in a bundle.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Name of the manifest's detached signature in a bundle.
pub const SIGNATURE_NAME: &str = "manifest.json.asc";
/// The manifest's form that this version writes and reads.
pub const SCHEMA: u32 = 1;
/// Longest manifest, bytes: most of it is the changelog.
pub const MANIFEST_BYTES_MAX: usize = 96 << 10;
/// Longest beginning of a manifest up to its changelog, its last member, bytes: as much of it as a
/// device keeps.
pub const MANIFEST_HEAD_BYTES_MAX: usize = 2048;
/// Longest changelog, bytes of UTF-8.
pub const CHANGELOG_BYTES_MAX: usize = 64 << 10;
/// Longest file of signatures, armored or binary, bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4096;
/// Longest version, bytes.
pub const VERSION_BYTES_MAX: usize = 64;
/// Longest device type, bytes.
pub const DEVICE_TYPE_BYTES_MAX: usize = 64;
/// Greatest release counter: JSON readers that keep numbers as doubles still tell it from its
/// neighbours.
pub const RELEASE_COUNTER_MAX: u64 = (1 << 53) - 1;
/// Latest time, Unix seconds: the end of the year 9999, the last that RFC 3339 can write.
pub const TIME_MAX: i64 = 253_402_300_799;
