//! Signatures and keys, against the real gpg.

mod device;
mod parts;
