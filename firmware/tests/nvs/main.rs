//! NVS: whatever is saved is there, through power cuts and for every other reader of the format.

mod behaviour;
mod device;
mod foreign;
mod generator;
mod model;
mod power_cut;
mod recovery;
mod wear;
