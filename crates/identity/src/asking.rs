//! What a request says of who sends it, in bytes: no type of any HTTP library.

use std::borrow::Cow;
use std::net::IpAddr;

/// What a request says of who sends it.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// Each `Cookie` line, in order.
    pub cookies: Vec<&'a [u8]>,
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The client's address as an app behind the same proxy has it: the first word of `X-Forwarded-For` where a trusted
    /// proxy sent one, as it stands there; else the peer's address.
    pub app_address: Cow<'a, [u8]>,
    /// The client's address beyond the trusted proxies.
    pub address: IpAddr,
    /// The request's method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The host that the client asked for.
    pub host: &'a str,
    /// Whether the client's connection is encrypted.
    pub https: bool,
}

impl<'a> Asking<'a> {
    /// The first cookie of this name, as it stands in the header. An app takes the first as well: with another choice
    /// the two would believe different people.
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let pairs = self.cookies.iter().flat_map(|line| line.split(|byte| *byte == b';'));
        pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            (pair[..at].trim_ascii_end() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii_start())
        })
    }

    /// The token of `Authorization: Bearer …`.
    pub fn bearer(&self) -> Option<&'a str> {
        let (scheme, token) = str::from_utf8(self.authorization?).ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}
