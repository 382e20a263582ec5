//! The one line that `filmgate demo --json` prints: where it listens, and who may sign in.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

/// Somebody the demo knows.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub username: String,
    pub password: String,
    pub user_id: String,
    /// The value of a `Cookie` header that signs this person in.
    pub cookie: String,
    /// Empty for the admin, who has no session.
    pub session_id: String,
}

/// The line that `demo --json` prints.
#[derive(Clone, Debug)]
pub struct Demo {
    pub url: String,
    pub address: SocketAddr,
    pub admin: Person,
    pub participant: Person,
    pub other: Person,
}

impl Demo {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON line: {line:?}"))?;
        let url = text(&value, "url")?;
        let address = url.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
        let address = address.parse().with_context(|| format!("no address in {url}"))?;
        let session_id = text(&value, "session_id")?;
        let mut participant = person(&value["participant"]).context("participant")?;
        participant.session_id = session_id;
        Ok(Self {
            address,
            admin: person(&value["admin"]).context("admin")?,
            participant,
            other: person(&value["other_participant"]).context("other_participant")?,
            url,
        })
    }
}

fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {value}"))
}

fn person(value: &Value) -> Result<Person> {
    Ok(Person {
        username: text(value, "username")?,
        password: text(value, "password")?,
        user_id: value["user_id"].as_str().map_or_else(|| value["user_id"].to_string(), str::to_owned),
        cookie: text(value, "cookie")?,
        session_id: value["session_id"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_line_is_read() {
        let line = r#"{"url":"http://127.0.0.1:4711","admin":{"username":"a","password":"p","cookie":"c=1"},
            "participant":{"username":"b","password":"p","user_id":7,"cookie":"c=2"},
            "other_participant":{"username":"o","password":"p","user_id":"8","cookie":"c=3","session_id":"t"},
            "session_id":"s"}"#;
        let demo = Demo::parse(line).unwrap();
        assert_eq!(demo.address.port(), 4711);
        assert_eq!((demo.participant.user_id.as_str(), demo.participant.session_id.as_str()), ("7", "s"));
        assert_eq!((demo.other.user_id.as_str(), demo.other.session_id.as_str()), ("8", "t"));
        assert!(Demo::parse("listening").is_err());
    }
}
