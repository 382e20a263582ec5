//! Photos by their bytes: what is refused, what is stored and served as what it truly is, and that the names clients
//! give their files mean nothing.

mod filenames;
pub mod made;
mod refused;
mod stored;

use serde_json::json;
use testkit::{Form, Response, Server};

use super::support::batch;

/// A file as a client calls it.
struct Called<'a> {
    filename: &'a str,
    content_type: &'a str,
}

/// What a camera page calls its frames.
const FRAME: Called<'_> = Called { filename: "frame.jpg", content_type: "image/jpeg" };

/// The participant's upload of this one file, with the trigger that the demo's settings want.
fn upload(server: &Server, called: &Called<'_>, bytes: &[u8]) -> Response {
    let form = Form::new()
        .text("session_id", &server.demo().participant.session_id)
        .file("capture_0", called.filename, called.content_type, bytes)
        .json("metadata_0", &json!({"trigger": "INTERVAL"}));
    batch(server, &form).send(server.address()).unwrap()
}
