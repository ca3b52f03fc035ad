//! Whole systems of real processes: `airlift serve`, `airlift-gateway`, PostgreSQL, Mosquitto, S3.
//! What is killed here is killed with SIGKILL.

mod alone;
mod boards;
mod fleet;
mod gateway;
mod kill;
mod production;
mod qemu_flash;
mod replicas;
mod server;
mod webhooks;
