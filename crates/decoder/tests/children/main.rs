//! The pool with real child processes: what it makes of photos, and what becomes of those that misbehave.
//!
//! The faults are played by debug builds alone; a release build has none of them, and decodes photos all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is a failed test")]
#![cfg_attr(not(debug_assertions), allow(dead_code, reason = "support for the faults"))]

#[cfg(debug_assertions)]
mod budget;
#[cfg(debug_assertions)]
mod confined;
#[cfg(debug_assertions)]
mod orphans;
mod photos;
#[cfg(debug_assertions)]
mod poison;
mod strangers;
mod support;
