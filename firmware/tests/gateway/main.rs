//! The core in a bad world: `world` is the world, `upgrade` says what must happen in it, `random`
//! what must never.

mod random;
mod upgrade;
mod world;
