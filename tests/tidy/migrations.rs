use std::collections::BTreeSet;

use super::{Finding, finding};

/// Migrations of one database that the other does not have.
pub fn unpaired(postgres: &BTreeSet<String>, sqlite: &BTreeSet<String>) -> Vec<Finding> {
    postgres
        .symmetric_difference(sqlite)
        .map(|name| {
            let (here, other) = match postgres.contains(name) {
                true => ("postgres", "sqlite"),
                false => ("sqlite", "postgres"),
            };
            let why = format!("migrations/{other} has no migration of this name");
            finding(&format!("migrations/{here}/{name}"), 1, why)
        })
        .collect()
}
