//! The upload contract, as the pages speak it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use uuid::Uuid;

use crate::load::{Dialect, Outgoing, User, Verdict};
use crate::photo::Photo;

/// The longest part of what a server said that is kept.
const WORDS_MAX: usize = 200;

/// The contract's batch upload, one photo each.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The path of the quick route; `{session_id}` stands for the user's session.
    pub quick_path: String,
    /// The trigger that each photo claims.
    pub trigger: String,
    /// Whether to ask for a 202 (`Prefer: respond-async`).
    pub is_queued: bool,
    /// Whether each upload carries an `Idempotency-Key` of its own.
    pub has_keys: bool,
}

impl Contract {
    /// The quick route unless another is named: signed in, owned, and read from the catalog.
    pub const QUICK_PATH: &str = "/assessment/camera/settings/{session_id}";
    const BOUNDARY: &str = "----filmgate-bench-7MA4YWxkTrZu0gW";
}

impl Dialect for Contract {
    fn upload(&self, user: &User, photo: &Photo, serial: u64) -> Outgoing {
        let boundary = Self::BOUNDARY;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"session_id\"\r\n\r\n{}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"capture_0\"; filename=\"frame.jpg\"\r\n\
             Content-Type: {}\r\n\r\n",
            user.session,
            photo.content_type()
        );
        let tail = format!(
            "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"metadata_0\"\r\n\r\n{}\r\n--{boundary}--\r\n",
            json!({"trigger": self.trigger})
        );
        let mut body = vec![Bytes::from(head)];
        body.extend(photo.pieces(serial));
        body.push(tail.into());
        let form =
            HeaderValue::from_static(const { "multipart/form-data; boundary=----filmgate-bench-7MA4YWxkTrZu0gW" });
        let mut headers = vec![(header::CONTENT_TYPE, form)];
        headers.extend(user.credential.clone());
        if self.is_queued {
            headers.push((HeaderName::from_static("prefer"), HeaderValue::from_static("respond-async")));
        }
        if self.has_keys
            && let Ok(key) = HeaderValue::from_str(&Uuid::new_v4().to_string())
        {
            headers.push((HeaderName::from_static("idempotency-key"), key));
        }
        Outgoing { method: Method::POST, path: "/assessment/camera/upload".to_owned(), headers, body }
    }

    fn quick(&self, user: &User) -> Outgoing {
        Outgoing {
            method: Method::GET,
            path: self.quick_path.replace("{session_id}", &user.session),
            headers: user.credential.clone().into_iter().collect(),
            body: Vec::new(),
        }
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Verdict {
        let answer: Option<TheirAnswer> = serde_json::from_slice(body).ok();
        match answer {
            Some(answer) if status.is_success() && answer.status == "OLKORECT" => Verdict::Taken {
                stored: answer.captures.len() as u64,
                queued: answer.task_ids.len() as u64,
                skipped: answer.skipped.len() as u64,
            },
            answer => {
                let (code, words) = answer.map_or_else(
                    || (None, String::from_utf8_lossy(body).into_owned()),
                    |answer| (answer.code, answer.error.unwrap_or_default()),
                );
                let code = match (code, status) {
                    (Some(code), status) => format!("{} {code}", status.as_u16()),
                    (None, status) if status.is_success() => format!("{} not of the contract", status.as_u16()),
                    (None, status) if status.is_redirection() => format!("{} elsewhere", status.as_u16()),
                    (None, status) => status.as_u16().to_string(),
                };
                Verdict::Refused { code, words: words.chars().take(WORDS_MAX).collect() }
            }
        }
    }
}

/// What counts of an answer; the captures' members are not looked at.
#[derive(Deserialize)]
struct TheirAnswer {
    status: String,
    #[serde(default)]
    captures: Vec<IgnoredAny>,
    #[serde(default)]
    task_ids: Vec<IgnoredAny>,
    #[serde(default)]
    skipped: Vec<IgnoredAny>,
    code: Option<String>,
    error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Verdict {
        let contract = Contract {
            quick_path: Contract::QUICK_PATH.to_owned(),
            trigger: "INTERVAL".to_owned(),
            is_queued: false,
            has_keys: false,
        };
        contract.judge(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn answers_are_read_as_the_contract_says() {
        let taken = |stored, queued, skipped| Verdict::Taken { stored, queued, skipped };
        assert_eq!(judged(200, r#"{"status":"OLKORECT","captures":[{"id":"a"}],"skipped":[]}"#), taken(1, 0, 0));
        assert_eq!(judged(202, r#"{"status":"OLKORECT","task_ids":["a","b"],"skipped":[{}]}"#), taken(0, 2, 1));
        let refused = |status, body| match judged(status, body) {
            Verdict::Refused { code, .. } => code,
            taken @ Verdict::Taken { .. } => panic!("{taken:?}"),
        };
        assert_eq!(refused(429, r#"{"status":"SNAFU","error":"Later","code":"too_many"}"#), "429 too_many");
        assert_eq!(refused(403, r#"{"status":"SNAFU","error":"Session not found"}"#), "403");
        assert_eq!(refused(200, "<html>"), "200 not of the contract");
        assert_eq!(refused(302, ""), "302 elsewhere");
    }
}
