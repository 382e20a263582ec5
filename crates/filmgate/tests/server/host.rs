//! Beside an app's database: whose sessions there are, what of captures stands in the app's own table, and what goes on
//! while that database is away.

mod app;
mod away;
mod check;
mod pull;
mod write;
