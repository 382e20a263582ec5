//! The server at its socket: the contract, who may do what, and every bad input, each against the real program.
//!
//! One test binary, because linking the program's libraries once is what takes the time.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod access;
mod admin;
mod bucket;
mod cli;
mod contract;
mod documents;
mod export;
mod host;
mod http;
mod idempotency;
mod identity;
mod images;
mod limits;
mod metadata;
mod multipart;
mod operation;
mod processed;
mod sign_in;
mod support;
mod tasks;
