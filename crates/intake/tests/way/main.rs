//! The way of a capture at its door: what is answered, what lies in the folder, what stands in the catalog.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod changing;
mod check;
mod derivatives;
mod idempotency;
mod leaving;
mod limits;
mod recovery;
mod support;
mod whole;
