//! What the tests and the fault rigs share.
//!
//! It owns: a [`Server`] started from the built binary, a small HTTP/1.1 client ([`http`]) that can also misbehave
//! ([`connection`]), a [`Worker`] beside it, multipart forms that can be wrong on purpose ([`form`]), photos of any size
//! ([`photo`]), an app from before Filmgate ([`old_app`]), an S3 in this process ([`s3`]), the calls of the upload contract ([`api`]), and under [`rig`] what the fault rigs in `src/bin` have in
//! common.
//!
//! It promises: nothing here depends on a crate of the server. The server is judged from outside, by its contract, so
//! a mistake in the server cannot hide in the test.
//!
//! It leaves to others: what is asserted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "test support: a panic is a failed test, and the rigs print their findings"
)]

pub mod api;
pub mod connection;
pub mod demo;
pub mod form;
pub mod http;
pub mod matrix;
pub mod old_app;
pub mod photo;
pub mod process;
pub mod random;
pub mod rig;
#[cfg_attr(not(feature = "s3"), path = "s3_absent.rs")]
pub mod s3;
pub mod server;
pub mod worker;

pub use api::{Api, Capture, Shot};
pub use connection::Connection;
pub use demo::{Demo, Person};
pub use form::Form;
pub use http::{Request, Response};
pub use s3::S3Server;
pub use server::{Server, ServerBuilder};
pub use worker::Worker;
