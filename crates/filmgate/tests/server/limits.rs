//! How much and how slowly: what is under way at once, how long a client may take, how large and how many, and a disk
//! without room. One who is refused by a limit leaves nothing, and everybody else goes on.

mod admission;
mod disk;
mod sizes;
mod timing;

use testkit::Server;

use super::support::{builder, unprocessed};

/// A server with these settings, each named as `SECTION__KEY`.
fn limited(settings: &[(&str, &str)]) -> Server {
    let set =
        |builder: testkit::ServerBuilder, (key, value): &(&str, &str)| builder.env(&format!("FILMGATE__{key}"), value);
    settings.iter().fold(unprocessed(builder()), set).start().unwrap()
}
