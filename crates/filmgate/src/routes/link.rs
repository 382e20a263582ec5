//! `POST /assessment/camera/link/{session_id}`: captures belong to an assessment from now on.

use axum::extract::State;
use records::{AssessmentType, Session};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Data, SnafuResponse, owned};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};
use crate::extract::{Json, PathVariable};

/// Captures linked by one request.
const CAPTURES_MAX: usize = 10_000;

/// Which captures belong to which assessment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct LinkRequest {
    /// Ids of captures of this session; others count for nothing.
    #[schema(max_items = 10000)]
    capture_ids: Vec<CaptureId>,
    /// The assessment, as the app names it: a number or a text.
    #[schema(schema_with = scalar_id)]
    assessment_record_id: serde_json::Value,
    /// What kind of assessment it is.
    assessment_type: LinkType,
}

/// As Filmgate named the capture when it was uploaded; beside an app's database also as the app's own table names it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum CaptureId {
    /// Filmgate's, or a key of the app's.
    Text(String),
    /// A key of the app's.
    Number(i64),
}

/// A number or a text.
pub(super) fn scalar_id() -> utoipa::openapi::schema::Schema {
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
    let one_of = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(i64::MAX)))
        .item(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(200)))
        .build();
    Schema::OneOf(one_of)
}

/// A kind of assessment.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkType {
    /// The questionnaire.
    Phq,
    /// The conversation.
    Llm,
}

/// What linking did.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names)] // the contract's own members
pub struct Linked {
    /// The session.
    session_id: String,
    /// Captures that now belong to the assessment.
    captures_updated: usize,
    /// Captures that belonged to one already, and stay as they are.
    captures_already_linked: usize,
    /// The assessment, as sent.
    #[schema(schema_with = scalar_id)]
    assessment_record_id: serde_json::Value,
    /// Its kind.
    assessment_type: LinkType,
    /// Whether a capture was kept from changing its assessment.
    contamination_prevented: bool,
}

/// The captures that these ids name. What is no id names none of this session.
async fn named(app: &App, session: &Session, given: Vec<CaptureId>) -> Result<Vec<Uuid>> {
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for id in given {
        let text = match id {
            CaptureId::Text(text) => text,
            CaptureId::Number(number) => number.to_string(),
        };
        match Uuid::try_parse(&text) {
            Ok(id) => ids.push(id),
            Err(_) => keys.push(text),
        }
    }
    if let Some(host) = &app.host
        && !keys.is_empty()
    {
        let filenames = host.filenames(session, &keys).await?;
        let captures = app.records.captures_of_session(session.id).await?;
        ids.extend(captures.into_iter().filter(|capture| filenames.contains(&capture.filename)).map(|it| it.id));
    }
    Ok(ids)
}

/// Link captures to an assessment
///
/// A capture that is linked already stays as it is.
#[utoipa::path(post, path = "/assessment/camera/link/{session_id}", tag = "Captures of a page",
    params(("session_id" = Uuid, Path, description = "The assessment session")),
    request_body = LinkRequest,
    responses((status = 200, description = "Linked", body = Data<Linked>), (status = "default", response = SnafuResponse)))]
pub async fn link(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(session_id): PathVariable,
    Json(request): Json<LinkRequest>,
) -> Result<axum::Json<Data<Linked>>> {
    let gate = owned::session(&app, &caller, &session_id).await?;
    if request.capture_ids.len() > CAPTURES_MAX {
        return Err(Error::invalid(format!("Link at most {CAPTURES_MAX} captures at once")));
    }
    let names_something = match &request.assessment_record_id {
        // A fraction or a number beyond 64 bits would come back from JSON as another number than was stored.
        serde_json::Value::Number(number) => number.as_i64().is_some_and(|number| number > 0),
        serde_json::Value::String(text) => (1..=200).contains(&text.chars().count()) && !text.contains('\0'),
        _ => false,
    };
    if !names_something {
        return Err(Error::invalid("assessment_record_id is a whole number from 1, or a text of 1 to 200 characters"));
    }
    let kind = match request.assessment_type {
        LinkType::Phq => AssessmentType::Phq,
        LinkType::Llm => AssessmentType::Llm,
    };
    let ids = named(&app, &gate.session, request.capture_ids).await?;
    let assessment = request.assessment_record_id.to_string();
    let outcome = app.records.link_captures(gate.session.id, ids, kind, assessment, app.now()).await?;
    Ok(Data::ok(Linked {
        session_id: gate.session.key(),
        captures_updated: outcome.updated,
        captures_already_linked: outcome.already_linked,
        assessment_record_id: request.assessment_record_id,
        assessment_type: request.assessment_type,
        contamination_prevented: outcome.already_linked > 0,
    }))
}
