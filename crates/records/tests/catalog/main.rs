//! The catalog at its door.
//!
//! All modules but [`sqlite`] and [`postgres`] say what every engine must do, through the public facade alone.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod captures;
mod claims;
mod deletion;
mod effects;
mod host;
mod pages;
mod people;
mod postgres;
mod recording;
mod sessions;
mod settings;
mod sqlite;
mod support;
mod tasks;
mod transfer;
mod two;
