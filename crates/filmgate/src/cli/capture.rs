//! `filmgate capture`

use anyhow::Context;
use clap::Subcommand;
use uuid::Uuid;

use super::{Common, output};
use crate::routes::captures::CaptureDetail;

const COLUMNS: &[&str] =
    &["id", "session_id", "timestamp", "capture_trigger", "assessment_type", "file_size_bytes", "content_type"];

#[derive(Debug, Subcommand)]
pub(super) enum CaptureCommand {
    /// List captures, newest first
    List {
        /// Of this session only
        #[arg(long, value_name = "ID")]
        session: Option<Uuid>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a capture
    Show {
        /// The capture's id
        id: Uuid,
    },
    /// Delete a capture, row and bytes; a tombstone stays
    Delete {
        /// The capture's id
        id: Uuid,
    },
}

pub(super) async fn run(command: CaptureCommand, common: &Common) -> anyhow::Result<()> {
    let app = common.open()?;
    match command {
        CaptureCommand::List { session, limit } => {
            let page = app.records.captures(session, None, limit).await?;
            let captures: Vec<CaptureDetail> = page.items.into_iter().map(Into::into).collect();
            output::many(common.json, &captures, COLUMNS)
        }
        CaptureCommand::Show { id } => {
            let capture = app.records.capture(id).await?.with_context(|| format!("there is no capture {id}"))?;
            output::one(common.json, &CaptureDetail::from(capture))
        }
        CaptureCommand::Delete { id } => {
            let deleted = app.intake.delete_capture(id, "deleted from the command line").await;
            let capture = deleted.with_context(|| format!("capture {id}"))?;
            output::one(common.json, &serde_json::json!({ "deleted": capture.id }))
        }
    }
}
