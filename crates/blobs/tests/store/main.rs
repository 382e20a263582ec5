//! The store at its door.
//!
//! [`conformance`] says what every engine must do, through the public facade alone; [`folder`] what a folder on disk
//! must do besides, [`bucket`] what a bucket must do, above all where the S3 behind it fails.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bucket;
mod conformance;
mod folder;
mod planted;
mod shipping;
mod support;
