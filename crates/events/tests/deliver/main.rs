//! Events out against real receivers: an HTTP server of our own, and Debian's redis-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod broker;
mod celery;
mod receiver;
mod refused;
mod settings;
mod support;
mod tls;
mod webhooks;
