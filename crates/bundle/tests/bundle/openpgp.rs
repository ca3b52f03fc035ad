//! Signatures and keys, against the real gpg.

mod agreement;
mod certificates;
mod device;
mod parts;
mod signing;
mod trusted;
