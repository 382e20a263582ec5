//! `multipart/form-data`, right or wrong on purpose.
//!
//! The boundary is fixed, so that a test may name it, cut at any of its bytes, or put it inside a photo.

use serde_json::Value;

/// The boundary of every form that does not ask for another.
pub const BOUNDARY: &str = "testkit-boundary-7MA4YWxkTrZu0gW";

/// A form being put together, part after part, in the order of the calls.
#[derive(Clone, Debug)]
pub struct Form {
    boundary: String,
    parts: Vec<(Vec<u8>, Vec<u8>)>,
    preamble: Vec<u8>,
    epilogue: Vec<u8>,
    closing: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Form {
    pub fn new() -> Self {
        Self {
            boundary: BOUNDARY.to_owned(),
            parts: Vec::new(),
            preamble: Vec::new(),
            epilogue: Vec::new(),
            closing: true,
        }
    }

    /// A text field.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw_part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    /// A field of JSON, sent as a browser sends a string: without a type of its own.
    #[must_use]
    pub fn json(self, name: &str, value: &Value) -> Self {
        self.text(name, &value.to_string())
    }

    /// A file with a filename and a type.
    #[must_use]
    pub fn file(self, name: &str, filename: &str, content_type: &str, bytes: &[u8]) -> Self {
        self.raw_part(
            &format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: {content_type}"
            ),
            bytes,
        )
    }

    /// A part whose header lines (joined by CRLF, without the empty line) are taken as they are.
    #[must_use]
    pub fn raw_part(self, headers: &str, body: &[u8]) -> Self {
        self.raw_part_bytes(headers.as_bytes(), body)
    }

    /// As [`raw_part`](Self::raw_part), for headers that are not UTF-8.
    #[must_use]
    pub fn raw_part_bytes(mut self, headers: &[u8], body: &[u8]) -> Self {
        self.parts.push((headers.to_vec(), body.to_vec()));
        self
    }

    #[must_use]
    pub fn boundary(mut self, boundary: &str) -> Self {
        boundary.clone_into(&mut self.boundary);
        self
    }

    /// Bytes before the first boundary.
    #[must_use]
    pub fn preamble(mut self, bytes: &[u8]) -> Self {
        self.preamble = bytes.to_vec();
        self
    }

    /// Bytes after the closing boundary.
    #[must_use]
    pub fn epilogue(mut self, bytes: &[u8]) -> Self {
        self.epilogue = bytes.to_vec();
        self
    }

    /// Leaves out the closing boundary, as a client does that was cut off between two parts.
    #[must_use]
    pub fn without_closing(mut self) -> Self {
        self.closing = false;
        self
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let room: usize =
            self.parts.iter().map(|(head, body)| head.len() + body.len() + self.boundary.len() + 10).sum();
        let mut out = Vec::with_capacity(room + self.preamble.len() + self.epilogue.len() + self.boundary.len() + 8);
        out.extend_from_slice(&self.preamble);
        for (head, body) in &self.parts {
            out.extend_from_slice(format!("--{}\r\n", self.boundary).as_bytes());
            out.extend_from_slice(head);
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        if self.closing {
            out.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        }
        out.extend_from_slice(&self.epilogue);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_the_order_they_were_given() {
        let form = Form::new().boundary("b").file("capture_0", "a.jpg", "image/jpeg", b"JPEG").text("session_id", "s");
        assert_eq!(
            String::from_utf8(form.bytes()).unwrap(),
            "--b\r\nContent-Disposition: form-data; name=\"capture_0\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\
             \r\n\r\nJPEG\r\n--b\r\nContent-Disposition: form-data; name=\"session_id\"\r\n\r\ns\r\n--b--\r\n"
        );
        assert_eq!(form.content_type(), "multipart/form-data; boundary=b");
    }

    #[test]
    fn the_closing_boundary_can_be_left_out() {
        assert!(!Form::new().boundary("b").text("a", "1").without_closing().bytes().ends_with(b"--b--\r\n"));
    }
}
