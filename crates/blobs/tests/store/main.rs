//! The store at its door.
//!
//! [`conformance`] says what every engine must do, through the public facade alone; [`folder`] what a folder on disk
//! must do besides.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod conformance;
mod folder;
mod planted;
mod support;
