//! Updates that are killed, cut off from power, and fail.

mod child;
mod cut;
mod cut_model;
mod fail;
mod full;
mod keep;
mod kill;
mod left;
mod world;
