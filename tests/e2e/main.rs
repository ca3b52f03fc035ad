//! Whole systems of real processes: `airlift serve`, `airlift-gateway`, PostgreSQL, Mosquitto, S3.
//! What is killed here is killed with SIGKILL.

mod fleet;
mod kill;
mod replicas;
mod server;
