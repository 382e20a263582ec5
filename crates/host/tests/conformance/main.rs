//! What `host` promises, held to on each engine. On SQLite unless the environment names another, as `with-engines` does:
//!
//!     with-engines --postgres -- cargo test -p host
//!     with-engines --mariadb -- cargo test -p host
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a panic is a failed test")]

mod away;
mod names;
mod reading;
mod support;
mod writing;
