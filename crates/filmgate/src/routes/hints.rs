//! The live hints: what the server asks of cameras, on every answer to an upload, whatever its status. How hard it is
//! pressed, and what follows from that, is `intake`'s.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use crate::app::App;
use crate::error::Error;

/// Of a request: why its frames were taken, so that a frame of the timer can give way before it is read.
pub const TRIGGER: HeaderName = HeaderName::from_static("filmgate-trigger");
/// Of an answer: frames of the timer no closer together than this, in milliseconds.
const INTERVAL_MS: HeaderName = HeaderName::from_static("filmgate-interval-ms");
/// Of an answer: the JPEG quality of frames to come, from 0 to 1.
const QUALITY: HeaderName = HeaderName::from_static("filmgate-quality");

const UPLOADS: &str = "/assessment/camera/upload";

/// Adds the hints to an answer of this route. Where nothing is asked, there is no header, and a page goes back to its
/// settings.
pub fn add(app: &App, route: &str, response: &mut Response) {
    if !route.starts_with(UPLOADS) {
        return;
    }
    let wish = app.intake.wish();
    if wish != intake::Wish::default() {
        app.metrics.hinted();
    }
    if let Some(interval) = wish.interval {
        if let Ok(value) = HeaderValue::try_from(interval.as_millis().to_string()) {
            response.headers_mut().insert(INTERVAL_MS, value);
        }
        // Asked for a frame in eight seconds, nobody need come again after two.
        if let Some(error) = response.extensions_mut().get_mut::<Error>()
            && error.code == "interval_frames_refused"
        {
            error.retry_after = Some(interval);
        }
    }
    if let Some(percent) = wish.quality_percent
        && let Ok(value) = HeaderValue::try_from(format!("{}.{:02}", percent / 100, percent % 100))
    {
        response.headers_mut().insert(QUALITY, value);
    }
}

/// Whether all of a form's frames are the timer's, as its header says. Silence counts as an event: nobody loses by it.
pub fn is_of_timer(headers: &HeaderMap) -> bool {
    headers.get(TRIGGER).is_some_and(|trigger| trigger.as_bytes().eq_ignore_ascii_case(b"INTERVAL"))
}
