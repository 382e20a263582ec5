//! A load on a server that speaks the upload contract, and what came of it.
//!
//! **Owns** who comes when ([`Load`]), the requests and how their answers are read ([`Dialect`], with the contract's own
//! in [`Contract`]), the clock, the counts, and the [`Report`] with its text, JSON and HTML.
//!
//! **Promises**
//! - *Open loop.* Uploads are due by the clock, whether or not earlier ones were answered, and a latency is counted from
//!   the moment that the upload was due. A server that stalls for a second shows that second in every upload that was
//!   due in it. (With an interval of zero each user waits for the answer instead; the report then says `closed`.)
//! - Nothing is sent twice. What was not answered is a failure, counted by its kind.
//! - The client judges itself: how late it was in sending, how much processor it used and waited for. Where it was the
//!   bottleneck, the report says so before all figures.
//! - Memory for figures does not grow with the number of requests.
//!
//! **Leaves to others** the command line, files, and where secrets come from. It knows no other room: the server is
//! judged from outside, by its contract, so that any that speaks it can be measured.

mod body;
mod client;
mod contract;
mod drive;
mod html;
mod load;
mod people;
mod photo;
mod plot;
mod quick;
mod report;
mod schedule;
mod tally;
mod text;
mod this_process;
mod words;

pub use client::{Answer, Failure, Target};
pub use contract::Contract;
pub use drive::{Moment, Phase, run};
pub use load::Dialect;
pub use load::{Arrivals, Load, Outgoing, Slow, User, Verdict};
pub use people::{Made, Means, prepare};
pub use photo::{Photo, PhotoKind};
pub use report::Report;
pub use this_process::Processor;
