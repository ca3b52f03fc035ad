//! Updates that are killed, cut off from power, and fail.

mod child;
mod cut;
mod cut_model;
mod kill;
mod world;
