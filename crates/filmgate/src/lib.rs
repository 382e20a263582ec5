//! Filmgate, the program: HTTP, the command line, and the house put together.
//!
//! **Owns** everything that knows HTTP: the accept loop ([`listen`]), the routes ([`router`] has them on one page), who
//! is asking by header and cookie ([`auth`]), and the one way out ([`exit`]); the settings ([`config`]); the commands
//! ([`cli`]).
//! **Promises** the contract's answers to the letter, and that every answer has a request id.
//! **Leaves** to others the way of a capture (`intake`), rows (`records`), bytes (`blobs`), passwords (`identity`).
//!
//! Invariant: no other room knows axum or hyper, and this one knows no SQL and no path below the data folder but the
//! lock.

pub mod app;
pub mod app_database;
pub mod auth;
pub mod cli;
pub mod config;
mod doctor;
pub mod error;
pub mod exit;
pub mod export;
pub mod extract;
pub mod figures;
mod filesystem;
pub mod gaps;
pub mod listen;
pub mod metrics;
pub mod openapi;
pub mod pages;
pub mod router;
pub mod routes;
mod work;
