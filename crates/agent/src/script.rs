//! Commands of packages.
