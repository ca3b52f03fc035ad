//! Whole systems of real processes: `airlift serve`, `airlift-gateway`, PostgreSQL, Mosquitto, S3.
//! What is killed here is killed with SIGKILL.

mod alone;
mod announcements;
mod attacks;
mod boards;
mod broker_files;
mod closed;
mod compose;
mod flaws;
mod fleet;
mod forge;
mod gateway;
mod kill;
mod linux;
mod load;
mod pacing;
mod page;
mod production;
mod qemu_flash;
mod replicas;
mod rollout_fleet;
mod server;
mod simulator;
mod stolen;
mod upload_page;
mod webhooks;
