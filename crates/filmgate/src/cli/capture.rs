//! `filmgate capture`

use anyhow::Context;
use clap::Subcommand;
use uuid::Uuid;

use super::{Common, output};
use crate::app::App;
use crate::routes::captures::{CaptureDetail, details};

const COLUMNS: &[&str] =
    &["id", "session_id", "timestamp", "capture_trigger", "assessment_type", "file_size_bytes", "content_type"];

#[derive(Debug, Subcommand)]
pub(super) enum CaptureCommand {
    /// List captures, newest first
    List {
        /// Of this session only
        #[arg(long, value_name = "ID")]
        session: Option<Uuid>,
        /// Those alone whose photo could not be processed
        #[arg(long)]
        quarantined: bool,
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

pub(super) async fn run(command: CaptureCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    match command {
        CaptureCommand::List { session, quarantined, limit } => {
            let filter = records::CaptureFilter {
                session_id: session,
                is_quarantined: quarantined.then_some(true),
                ..Default::default()
            };
            let page = app.records.captures(filter, None, limit).await?;
            output::many(common.json, &details(app, page.items).await?, COLUMNS)
        }
        CaptureCommand::Show { id } => {
            let capture = app.records.capture(id).await?.with_context(|| format!("there is no capture {id}"))?;
            let derivatives = app.records.derivatives(id).await?;
            let detail = CaptureDetail::of(capture, derivatives);
            if common.json { output::one(true, &detail) } else { output::one(false, &flat(&detail)?) }
        }
        CaptureCommand::Delete { id } => {
            let deleted = app.intake.delete_capture(id, "deleted from the command line").await;
            let capture = deleted.with_context(|| format!("capture {id}"))?;
            output::one(common.json, &serde_json::json!({ "deleted": capture.id }))
        }
    }
}

/// What processing made of it in lines of its own, for a person.
fn flat(detail: &CaptureDetail) -> anyhow::Result<serde_json::Value> {
    let mut detail = serde_json::to_value(detail)?;
    if let Some(members) = detail.as_object_mut()
        && let Some(serde_json::Value::Object(processing)) = members.remove("processing")
    {
        members.extend(processing.into_iter().map(|(name, value)| (format!("processing.{name}"), value)));
    }
    Ok(detail)
}
