//! The core in a bad world: `world` is the world, the others say what must happen in it and what
//! must never.

mod bundle;
mod bundle_attacks;
mod bundle_hostile;
mod cuts;
mod download;
mod local;
mod local_signed;
mod random;
mod session;
mod slots;
mod trial;
mod upgrade;
mod waits;
mod web;
mod web_cuts;
mod web_worn;
mod world;
mod worn;
