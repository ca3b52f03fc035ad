//! Keeps the packages of a Linux device current.
