//! Partition table, otadata and image: how they behave, and what ESP-IDF's own tools and other
//! readers make of our bytes.

mod esptool;
mod image;
mod image_judges;
mod otadata;
mod otadata_judges;
mod other_flash;
mod table;
mod table_judges;
mod tables;
