//! From a photo's bytes to what is shown of it, and what happens to bad ones on the way.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod damage;
mod derivatives;
mod exif;
mod formats;
mod orientation;
mod signs;
mod strip;
mod support;
