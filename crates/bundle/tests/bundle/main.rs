//! Bundles: what is read, what is refused, and by which word.

mod manifest;
mod samples;
