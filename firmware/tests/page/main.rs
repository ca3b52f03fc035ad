//! The upload page as a peer sees it: bytes in, bytes out, and what the update session is told.

mod curl;
mod garbage;
mod image;
mod login;
mod routes;
mod signed;
mod support;
mod upload;
