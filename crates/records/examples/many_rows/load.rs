//! Fills a catalog as fast as its engine allows, and leaves the schema as it was.
//!
//! The program's own migrations make it; indexes are taken away, the rows written in one transaction, and the indexes
//! made again as they were. That the schema is the same as before is checked.

pub mod postgres;
pub mod sqlite;
