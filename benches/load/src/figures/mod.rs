//! What is measured. To add one: a file here, and its line in [`FIGURES`].

mod access;
mod contact;
mod download;
mod idle;
mod ingest;
mod poll;
mod rollout;
mod storm;
mod trigger;
mod upload;

use anyhow::Result;

use crate::{Plan, figure::Figure};

/// A figure that can be asked for.
pub struct Named {
    pub name: &'static str,
    pub about: &'static str,
    pub measure: fn(&Plan) -> Result<Vec<Figure>>,
}

pub const FIGURES: &[Named] = &[
    Named {
        name: "idle",
        about: "start to first answer, and resident memory once nothing happens, with embedded defaults",
        measure: idle::idle,
    },
    Named {
        name: "poll.sqlite",
        about: "GET /api/ota/task/{id} over 64 connections, on SQLite, beside an axum handler of constant JSON",
        measure: poll::on_sqlite,
    },
    Named {
        name: "poll.postgres",
        about: "the same on PostgreSQL",
        measure: poll::on_postgres,
    },
    Named {
        name: "ingest.few",
        about: "100,000 progress reports of 200 gateways, beside a subscriber that only counts; polls meanwhile",
        measure: ingest::of_few,
    },
    Named {
        name: "ingest.many",
        about: "as many of 7,692 gateways",
        measure: ingest::of_many,
    },
    Named {
        name: "contact",
        about: "20,000 new gateways connect, subscribe and send a heartbeat, beside the broker alone",
        measure: contact::contact,
    },
    Named {
        name: "trigger",
        about: "POST /api/ota/upgrade/{new id} over 64 connections until each command is seen, beside pgbench",
        measure: trigger::on_postgres,
    },
    Named {
        name: "rollout",
        about: "a rollout to 1,000,000 gateways: creation beside COPY of as many rows, then commands per second",
        measure: rollout::on_postgres,
    },
    Named {
        name: "download.small",
        about: "a release of 1.5 MB over 64 connections, beside nginx with sendfile",
        measure: download::small,
    },
    Named {
        name: "download.large",
        about: "a release of 50 MB over 8 connections, beside nginx with sendfile",
        measure: download::large,
    },
    Named {
        name: "upload.small",
        about: "100 images of 1.5 MB one after the other, beside reading, hashing, writing and syncing them",
        measure: upload::small,
    },
    Named {
        name: "upload.large",
        about: "one image of 1 GB, beside the same",
        measure: upload::large,
    },
    Named {
        name: "access",
        about: "the poll with a token, beside the poll of a server that asks for none",
        measure: access::access,
    },
    Named {
        name: "storm",
        about: "50,000 sessions come back at once to the built-in broker, a command waiting in each, and once more after the server was killed",
        measure: storm::storm,
    },
];

/// Runs a measurement on a runtime of its own.
pub fn run<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measurement)
}
