//! What a request must be before anyone looks at where it goes.
//!
//! **Owns** the checks that belong to HTTP itself and that hyper and axum leave open: the host,
//! the framing, and bytes no path of ours can contain. **Promises** no allocation for a request
//! without percent signs. **Leaves** encoded slashes and dots to the routes: they are opaque ids
//! there and never become a file's name.

use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// The stable code of the error.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
}

const fn bad_request(code: &'static str, message: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code, message }
}

const HOST_MISSING: Refusal = bad_request("host_missing", "The request names no Host; send one.");
const HOST_REPEATED: Refusal = bad_request("host_repeated", "The request names several hosts; send one.");
const HOST_INVALID: Refusal = bad_request("host_invalid", "The Host is not a host name.");
const FRAMING_AMBIGUOUS: Refusal =
    bad_request("framing_ambiguous", "The request has both Content-Length and Transfer-Encoding; send one.");
const NOT_FOUND: Refusal =
    Refusal { status: StatusCode::NOT_FOUND, code: "not_found", message: "There is nothing here." };

/// Looks at a request's head; what it refuses must not reach a route.
pub fn inspect(head: &Parts) -> Result<(), Refusal> {
    // hyper reads such a body by its transfer encoding and drops the length, so both are rarely
    // visible at once. When they are, two readers could disagree on where the body ends.
    if head.headers.contains_key(CONTENT_LENGTH) && head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(FRAMING_AMBIGUOUS);
    }
    host(head)?;
    path(head.uri.path())
}

/// Two hosts let a proxy route by the one and us decide by the other.
fn host(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(HOST_REPEATED);
    }
    // From HTTP/2, or from a request line that spells out a whole URI as if to a proxy.
    let authority = head.uri.authority();
    match (first, authority) {
        (Some(host), Some(authority)) => {
            if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                host_form(host.as_bytes())
            } else {
                Err(HOST_REPEATED)
            }
        }
        (Some(host), None) => host_form(host.as_bytes()),
        (None, Some(authority)) if head.version == Version::HTTP_2 => host_form(authority.as_str().as_bytes()),
        // Older than the header itself.
        (None, _) if head.version < Version::HTTP_11 => Ok(()),
        (None, _) => Err(HOST_MISSING),
    }
}

fn host_form(host: &[u8]) -> Result<(), Refusal> {
    let (name, port) = if host.first() == Some(&b'[') {
        let Some(end) = host.iter().position(|byte| *byte == b']') else {
            return Err(HOST_INVALID);
        };
        let inside = &host[1..end];
        let address = std::str::from_utf8(inside).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
        if address.is_none() {
            return Err(HOST_INVALID);
        }
        (inside, &host[end + 1..])
    } else {
        let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        let name = &host[..end];
        // The grammar's registered names, without a user's name before an @.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
        if !name.iter().all(plain) {
            return Err(HOST_INVALID);
        }
        (name, &host[end..])
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name.is_empty() || !port_fits {
        return Err(HOST_INVALID);
    }
    Ok(())
}

/// A NUL or a broken character can name nothing we stored, and must not travel on to where
/// decoding it differently could matter.
fn path(path: &str) -> Result<(), Refusal> {
    if !path.as_bytes().contains(&b'%') {
        return Ok(());
    }
    let decoded = decode(path.as_bytes());
    if decoded.contains(&0) || std::str::from_utf8(&decoded).is_err() {
        return Err(NOT_FOUND);
    }
    Ok(())
}

/// Percent decoding; what is no valid escape stays as it is.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, ..] if *first == b'%' => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            decoded.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether the body is a form with files, by its content type.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Whether the client wants its connection closed after the answer.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    let mut tokens = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// What a connection past its last request says.
pub(super) const CLOSE: HeaderValue = HeaderValue::from_static("close");
