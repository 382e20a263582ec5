//! What the tests share.

use testkit::server::{Server, ServerBuilder};

/// A server of its own on a fresh data folder.
pub fn server() -> Server {
    builder().start().unwrap()
}

/// The same, to be set up first.
pub fn builder() -> ServerBuilder {
    Server::of(env!("CARGO_BIN_EXE_filmgate"))
}
