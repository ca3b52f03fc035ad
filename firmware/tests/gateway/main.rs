//! The core in a bad world: `world` is the world, the others say what must happen in it and what
//! must never.

mod bundle;
mod bundle_attacks;
mod bundle_hostile;
mod cuts;
mod download;
mod local;
mod random;
mod session;
mod trial;
mod upgrade;
mod waits;
mod world;
mod worn;
