//! Whole systems of real processes: `airlift serve`, `airlift-gateway`, PostgreSQL, Mosquitto, S3.
//! What is killed here is killed with SIGKILL.

mod alone;
mod announcements;
mod boards;
mod flaws;
mod fleet;
mod gateway;
mod kill;
mod pacing;
mod production;
mod qemu_flash;
mod replicas;
mod rollout_fleet;
mod server;
mod simulator;
mod webhooks;
