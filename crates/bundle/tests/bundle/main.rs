//! Bundles: what is read, what is refused, and by which word.

mod archive;
mod attacks;
mod fuzzed;
mod manifest;
mod stock;

#[allow(dead_code)]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;
