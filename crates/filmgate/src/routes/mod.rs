//! An endpoint a file: its request, its answer, its handler.

pub mod camera_settings;
pub mod camera_task;
pub mod captures;
pub mod cleanup;
pub mod doctor;
pub mod export;
pub mod figures;
pub mod file;
pub mod gaps;
pub mod health;
pub mod hints;
pub mod link;
pub mod my_sessions;
pub mod session_captures;
pub mod session_settings;
pub mod sessions;
pub mod sign_in;
pub mod task_events;
pub mod tasks;
pub mod tokens;
pub mod upload_batch;
pub mod upload_single;
pub mod users;

mod owned;
mod prefer;

use serde::Serialize;
use utoipa::{ToResponse, ToSchema};

/// Any error outside the contract's routes.
#[derive(ToResponse)]
#[response(description = "A problem (RFC 9457) with a stable `code`", content_type = "application/problem+json")]
pub struct ProblemResponse(#[allow(dead_code)] crate::error::Problem);

/// Any error of the contract's routes.
#[derive(ToResponse)]
#[response(description = "`SNAFU`, with what is wrong and what to do", content_type = "application/json")]
pub struct SnafuResponse(#[allow(dead_code)] crate::error::Snafu);

/// The contract's word for success.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub enum Status {
    /// All went well.
    #[serde(rename = "OLKORECT")]
    Olkorect,
}

/// The contract's envelope around `data`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// Always `OLKORECT`.
    pub status: Status,
    /// The answer.
    pub data: T,
}

impl<T> Data<T> {
    /// Success.
    pub fn ok(data: T) -> axum::Json<Self> {
        axum::Json(Self { status: Status::Olkorect, data })
    }
}

/// A page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From a page of rows.
    pub fn of<R>(page: records::Page<R>, view: impl FnMut(R) -> T) -> axum::Json<Self> {
        axum::Json(Self {
            items: page.items.into_iter().map(view).collect(),
            next_cursor: page.next_cursor.map(|cursor| cursor.to_string()),
        })
    }
}
