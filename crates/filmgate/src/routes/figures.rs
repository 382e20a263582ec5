//! `GET /api/v1/figures`: the last hour of this node in figures. Administrators only.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ProblemResponse;
use super::health::problems;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::extract::Query;
use crate::figures::{Refused, SAMPLE_EVERY, Sample};

/// What the asker has already.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// Samples after this moment only, RFC 3339; where this node is not among `nodes`, all of them.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Nodes whose samples up to `since` are known already, with commas between.
    nodes: Option<String>,
}

/// What this node did, and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct FiguresView {
    /// Which node answers: behind a load balancer it may be another each time.
    node: String,
    /// The version of the program.
    version: &'static str,
    /// When it began, RFC 3339.
    began_at: Option<String>,
    /// Whether uploads should be sent here, as `/readyz` says.
    ready: bool,
    /// Why not, in words.
    problems: Vec<String>,
    /// The most uploads that may be under way.
    uploads_in_flight_max: usize,
    /// What is asked of cameras just now.
    hints: Hints,
    /// Seconds between two samples.
    sample_seconds: u64,
    /// The oldest first.
    samples: Vec<Sample>,
    /// What was refused since it began, the most frequent first.
    refused: Vec<Refused>,
}

/// What is asked of cameras.
#[derive(Debug, Serialize, ToSchema)]
struct Hints {
    /// Whether anything is ever asked.
    enabled: bool,
    /// Frames of the timer no closer together than this; `null`: as the settings say.
    interval_ms: Option<u64>,
    /// JPEG quality of frames; `null`: as ever.
    quality_percent: Option<u32>,
}

/// The last hour in figures
///
/// A sample each few seconds since the server began, an hour of them at most, made of what `/metrics` counts; and whether
/// this node is ready for uploads. Of this node alone: where several share a catalog, each has its own.
#[utoipa::path(get, path = "/api/v1/figures", operation_id = "show_figures", tag = "Operation", params(FiguresQuery),
    responses((status = 200, description = "The figures", body = FiguresView), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Admin, Query(query): Query<FiguresQuery>) -> Result<Answer<FiguresView>> {
    let node = app.figures.node(&app);
    let since: Option<Timestamp> = query.since.as_deref().map(str::parse).transpose().map_err(|_| malformed())?;
    let is_known = query.nodes.is_none_or(|nodes| nodes.split(',').any(|known| known == node));
    let problems = problems(&app).await;
    let wish = app.intake.wish();
    Ok(Answer(FiguresView {
        version: env!("CARGO_PKG_VERSION"),
        began_at: app.figures.began().map(|time| time.to_string()),
        ready: problems.is_empty(),
        problems,
        uploads_in_flight_max: app.config.ingest.uploads_in_flight_max,
        hints: Hints {
            enabled: app.config.hints.enabled,
            interval_ms: wish.interval.map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
            quality_percent: wish.quality_percent,
        },
        sample_seconds: SAMPLE_EVERY.as_secs(),
        samples: app.figures.samples(since.filter(|_| is_known)),
        refused: app.figures.refused(),
        node,
    }))
}

fn malformed() -> Error {
    Error::new(StatusCode::BAD_REQUEST, "malformed_query", "since is an RFC 3339 time, as in 2026-11-29T15:04:05Z")
}
