//! Bundles: what is read, what is refused, and by which word.

mod archive;
mod attacks;
mod firmware;
mod fuzzed;
mod manifest;
mod openpgp;
mod spiffs;
mod stock;
mod web;

#[allow(dead_code)]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;
