//! What one capture costs: each figure with where it comes from.
//!
//! The figures stand in `unit-costs.toml` and are built in. A file of the user's own takes the place of some or all of
//! them: a plan is only as good as the machine its figures were taken on.

use serde::{Deserialize, Serialize};

/// The figures that are built in, as text with their provenance.
pub const BUILT_IN: &str = include_str!("../unit-costs.toml");

/// How a figure came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// By a command that can be run again.
    Measured,
    /// It follows from how Filmgate works, and the provenance says where to read that.
    Design,
    /// Nobody measured it here: an example that must be replaced by a figure of the place it is for.
    Assumed,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The figure itself.
    pub value: f64,
    /// In what, of what.
    pub unit: String,
    /// How it came about.
    pub source: Source,
    /// The command, the machine and the day; or the reason.
    pub provenance: String,
}

macro_rules! unit_costs {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Every figure that a plan is made of.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct UnitCosts {
            $($(#[$doc])* pub $name: Figure,)+
        }

        impl UnitCosts {
            /// All figures by name, in the order of the file.
            pub fn figures(&self) -> Vec<(&'static str, &Figure)> {
                vec![$((stringify!($name), &self.$name),)+]
            }
        }
    };
}

unit_costs! {
    /// Processor of the server for one upload of one photo, without its bytes and its commit.
    upload_cpu_us,
    /// Processor of the server for each megabyte of photo.
    upload_cpu_us_per_megabyte,
    /// Processor of the server for one commit of SQLite, however many uploads share it.
    sqlite_commit_cpu_us,
    /// Of both, what the catalog's single writer (SQLite) does for one write in a full batch: the part that cannot be
    /// shared between cores.
    sqlite_writer_us_per_write,
    /// Writes of the catalog for one capture: recorded, claimed, finished.
    catalog_writes_per_capture,
    /// Processor of the decoder for one photo, without its pixels.
    processing_cpu_ms,
    /// Processor of the decoder for each megapixel that is decoded.
    processing_cpu_ms_per_megapixel,
    /// Processor of the decoder for each megapixel of the preview that is made: at most 1280 pixels wide.
    processing_cpu_ms_per_preview_megapixel,
    /// Processor of the server around one decode: claim, read, publish, finish.
    processing_server_cpu_us,
    /// Bytes of a capture's derivatives.
    derivatives_bytes,
    /// Bytes of a capture in SQLite, indexes included: its row and its derivatives' rows.
    sqlite_bytes_per_capture,
    /// Bytes of a capture's task in SQLite, kept for jobs.keep_days.
    sqlite_bytes_per_task,
    /// Bytes of an idempotency key in SQLite, kept for ingest.idempotency_keep_days.
    sqlite_bytes_per_key,
    /// The same in PostgreSQL.
    postgres_bytes_per_capture,
    /// The same in PostgreSQL.
    postgres_bytes_per_task,
    /// The same in PostgreSQL.
    postgres_bytes_per_key,
    /// Processor of PostgreSQL for one capture, processing included.
    postgres_cpu_us_per_capture,
    /// Transactions of PostgreSQL for one capture, reads among them.
    postgres_transactions_per_capture,
    /// Bytes of write-ahead log for one capture.
    postgres_wal_bytes_per_capture,
    /// Seconds of a transaction in milliseconds, its way over the network and its sync included.
    postgres_transaction_ms,
    /// Processor of the server for one upload more, where the store is S3: TLS, signature, a second copy.
    s3_cpu_us_per_upload,
    /// Objects written for one capture: the original, and one file of derivatives.
    s3_puts_per_capture,
    /// Objects read for one capture: the original, to decode it.
    s3_gets_per_capture,
    /// Milliseconds of one PUT.
    s3_put_ms,
    /// Milliseconds of one sync of a local disk.
    fsync_ms,
    /// Syncs of photos and folders for one upload, at low load.
    fsyncs_per_upload,
    /// Memory of a server that has nothing to do.
    node_memory_bytes,
    /// Memory of one upload that is held open by a slow client.
    held_upload_memory_bytes,
    /// Memory of one connection that rests between two requests.
    idle_connection_memory_bytes,
}

/// Unit costs that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CostsError {
    /// No TOML, or a figure that is not known or not whole.
    #[error("{0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A figure without sense.
    #[error("{0}: {1} is not a figure that can be planned with")]
    Value(&'static str, f64),
}

impl UnitCosts {
    /// The built-in figures.
    pub fn built_in() -> Result<Self, CostsError> {
        Self::with_overrides("")
    }

    /// The built-in figures, those that stand in `text` replaced. A figure in it may leave out what it does not
    /// change: `[fsync_ms]` and `value = 4` will do.
    pub fn with_overrides(text: &str) -> Result<Self, CostsError> {
        let read = |text: &str| toml::from_str::<toml::Table>(text).map_err(Box::new);
        let mut table = read(BUILT_IN)?;
        for (name, figure) in read(text)? {
            match (table.get_mut(&name), figure) {
                (Some(toml::Value::Table(known)), toml::Value::Table(figure)) => {
                    // A new value under the old provenance would be a lie.
                    if figure.contains_key("value") && !figure.contains_key("provenance") {
                        known.insert("provenance".to_owned(), "given by --unit-costs".into());
                        known.insert("source".to_owned(), "assumed".into());
                    }
                    known.extend(figure);
                }
                // What is not known is named by the deserialiser.
                (_, figure) => {
                    table.insert(name, figure);
                }
            }
        }
        let costs: Self = table.try_into().map_err(Box::new)?;
        match costs.figures().into_iter().find(|(_, figure)| !(figure.value.is_finite() && figure.value >= 0.0)) {
            Some((name, figure)) => Err(CostsError::Value(name, figure.value)),
            None => Ok(costs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_says_where_it_comes_from() {
        let costs = UnitCosts::built_in().unwrap();
        for (name, figure) in costs.figures() {
            assert!(!figure.unit.is_empty(), "{name} has no unit");
            assert!(figure.provenance.len() > 20, "{name}: {}", figure.provenance);
            if figure.source == Source::Measured {
                let says = |what: &str| figure.provenance.contains(what);
                assert!(says("bench/") || says("rig-"), "{name} was measured by what? {}", figure.provenance);
                assert!(says("2026-"), "{name} was measured when? {}", figure.provenance);
            }
        }
    }

    #[test]
    fn a_file_of_ones_own_replaces_what_it_names() {
        let costs = UnitCosts::with_overrides("[fsync_ms]\nvalue = 4\n").unwrap();
        assert!((costs.fsync_ms.value - 4.0).abs() < 1e-12);
        assert_eq!(costs.fsync_ms.source, Source::Assumed, "nobody measured it here");
        assert_eq!(costs.upload_cpu_us, UnitCosts::built_in().unwrap().upload_cpu_us);
        let own = "[fsync_ms]\nvalue = 4\nsource = \"measured\"\nprovenance = \"filmgate doctor, ours, today\"";
        assert_eq!(UnitCosts::with_overrides(own).unwrap().fsync_ms.source, Source::Measured);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("[fsync_sm]\nvalue = 4", "fsync_sm"),
            ("[fsync_ms]\nvalue = \"4\"", "invalid type"),
            ("[fsync_ms]\nvalue = -1", "fsync_ms: -1"),
            ("fsync_ms = 4", "expected struct Figure"),
            ("[fsync_ms", "fsync_ms"),
        ] {
            let error = UnitCosts::with_overrides(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
