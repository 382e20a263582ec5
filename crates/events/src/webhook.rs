//! One webhook: a signed POST, and what its answer means.
//!
//! Promises: an attempt ends within its timeout; it connects to checked addresses alone; no redirect is followed and no
//! proxy used; of the answer no more than its head and a few kilobytes are read, and nothing but the status is told.
//! Leaves to the queue when to try again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, Body, Error, http};

use crate::addresses::{AddressPolicy, CheckedResolver, Refused};
use crate::retry_after;
use crate::signature::{self, Secret};
use crate::{Delivery, OptionsError, Outcome, WebhookOptions};

/// An answer's head of this size is a mistake or an attack.
const ANSWER_HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body is read only so that its connection can serve the next delivery: a longer or slower one costs the connection.
const ANSWER_BODY_BYTES_MAX: u64 = 4 * 1024;
const ANSWER_BODY_TIME_MAX: Duration = Duration::from_secs(1);
const USER_AGENT: &str = concat!("Filmgate/", env!("CARGO_PKG_VERSION"));

pub(crate) struct Webhook {
    name: String,
    uri: Uri,
    secrets: Vec<Secret>,
    timeout: Duration,
    agent: Agent,
    places: Arc<Semaphore>,
}

impl Webhook {
    pub(crate) fn new(options: &WebhookOptions) -> Result<Self, OptionsError> {
        Self::with_parts(options, DefaultConnector::default(), DefaultResolver::default())
    }

    /// With another resolver and connector: tests answer for the name server, and see what would be connected to.
    fn with_parts(
        options: &WebhookOptions,
        connector: impl Connector,
        resolver: impl Resolver,
    ) -> Result<Self, OptionsError> {
        let wrong = |problem: &str| OptionsError::new(&options.name, problem);
        let (uri, policy) = read_url(options).map_err(|problem| wrong(&problem))?;
        if options.secrets.is_empty() {
            return Err(wrong("a webhook needs a secret: whsec_ and the base64 of 24 to 64 random bytes"));
        }
        let secrets =
            options.secrets.iter().map(|text| Secret::parse(text)).collect::<Result<_, _>>().map_err(wrong)?;
        if options.timeout.is_zero() || options.in_flight_max == 0 {
            return Err(wrong("timeout and in_flight_max are above zero"));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .timeout_recv_body(Some(ANSWER_BODY_TIME_MAX))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // ureq would take a proxy from the environment, and a proxy connects to addresses that nobody checked.
            .proxy(None)
            .user_agent(USER_AGENT)
            .max_response_header_size(ANSWER_HEAD_BYTES_MAX)
            .max_idle_connections(options.in_flight_max)
            .max_idle_connections_per_host(options.in_flight_max)
            .tls_config(TlsConfig::builder().root_certs(authorities(options)?).build())
            .build();
        Ok(Self {
            name: options.name.clone(),
            uri,
            secrets,
            timeout: options.timeout,
            agent: Agent::with_parts(config, connector, CheckedResolver { inner: resolver, policy }),
            places: Arc::new(Semaphore::new(options.in_flight_max.min(Semaphore::MAX_PERMITS))),
        })
    }

    pub(crate) async fn send(&self, delivery: Delivery) -> Outcome {
        let began = Instant::now();
        // A receiver that hangs must not fill the threads of all others: it has its own few places, and waiting for one
        // ends as well.
        let place = tokio::time::timeout(self.timeout, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return self.retry("all its places are taken by attempts that have no answer yet", None);
        };
        let now_unix_s = delivery.attempted_at_unix_s.saturating_add_unsigned(began.elapsed().as_secs());
        let id = delivery.id.to_string();
        let body = delivery.payload.into_bytes();
        let signature = signature::header(&self.secrets, &id, now_unix_s, &body);
        let request = http::Request::post(self.uri.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now_unix_s.to_string())
            .header("webhook-signature", signature)
            .body(body);
        let Ok(request) = request else { return self.failed("its request could not be made") };
        let agent = self.agent.clone();
        // The place goes into the thread: a delivery given up half-way still counts until its thread has ended.
        let answer = tokio::task::spawn_blocking(move || {
            let answer = agent.run(request).map(read_answer);
            drop(place);
            answer
        })
        .await;
        match answer {
            Ok(Ok((status, headers))) => self.judge(status, &headers, now_unix_s),
            Ok(Err(error)) => self.unanswered(&error),
            Err(_) => self.retry("the thread of the attempt ended early", None),
        }
    }

    /// Ends attempts under way, so that a stopping server need not wait for a receiver.
    pub(crate) fn close(&self) {
        self.agent.clone().shutdown();
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, now_unix_s: i64) -> Outcome {
        let answered = format!("answered {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Outcome::Delivered,
            // The receiver may be right again tomorrow (a page of maintenance redirects, too), so nothing is lost yet.
            300..=399 => {
                self.retry(&format!("{answered}: redirects are not followed, its url has to be the final one"), None)
            }
            410 => self.failed(&format!("{answered}: it wants no more events, take it out of the settings")),
            429 | 503 => {
                let after = headers.get("retry-after").and_then(|value| retry_after::parse(value, now_unix_s));
                self.retry(&answered, after)
            }
            _ => self.retry(&answered, None),
        }
    }

    fn unanswered(&self, error: &Error) -> Outcome {
        match error {
            Error::Other(cause) => match cause.downcast_ref::<Refused>() {
                Some(reason) => self.failed(&format!(
                    "its name leads to {reason}; a receiver in the house has to be in allow_private_networks"
                )),
                None => self.retry("it could not be reached", None),
            },
            // ureq's own words may hold the URL: each kind gets words of ours.
            Error::Timeout(_) => self.retry(&format!("no answer within {} s", self.timeout.as_secs_f32()), None),
            Error::HostNotFound => self.retry("its name could not be looked up", None),
            // What rustls finds wrong while it reads comes wrapped so.
            Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => {
                let inner = cause.get_ref().map(ToString::to_string).unwrap_or_default();
                self.retry(&format!("TLS failed: {}", tls_words(&inner)), None)
            }
            Error::Io(cause) => self.retry(&format!("the connection failed: {}", cause.kind()), None),
            Error::ConnectionFailed => self.retry("the connection failed", None),
            Error::Rustls(cause) => self.retry(&format!("TLS failed: {}", tls_words(&cause.to_string())), None),
            Error::Tls(_) | Error::TlsRequired | Error::Pem(_) => self.retry("TLS failed", None),
            Error::LargeResponseHeader(..) => self.retry("the answer's head is too large", None),
            Error::Protocol(_) | Error::Http(_) => self.retry("the answer is not HTTP", None),
            _ => self.retry("the attempt failed", None),
        }
    }

    fn retry(&self, what: &str, after: Option<Duration>) -> Outcome {
        Outcome::Retry { error: format!("webhook {}: {what}", self.name), after }
    }

    fn failed(&self, what: &str) -> Outcome {
        Outcome::Failed { error: format!("webhook {}: {what}", self.name) }
    }
}

/// Takes what is wanted of an answer: the status and headers. Of the body a little is read and thrown away.
fn read_answer(answer: http::Response<Body>) -> (StatusCode, HeaderMap) {
    let (head, mut body) = answer.into_parts();
    let mut rest = std::io::Read::take(body.as_reader(), ANSWER_BODY_BYTES_MAX);
    // Whatever goes wrong in the body, the status has said how the delivery went.
    drop(std::io::copy(&mut rest, &mut std::io::sink()));
    (head.status, head.headers)
}

fn read_url(options: &WebhookOptions) -> Result<(Uri, AddressPolicy), String> {
    let uri: Uri = options.url.parse().map_err(|_| "its url is not one".to_owned())?;
    let plain = match uri.scheme_str() {
        Some("https") => false,
        Some("http") => true,
        _ => return Err("its url begins with https:// (or http:// in an allowed private network)".to_owned()),
    };
    if plain && options.allow_private_networks.is_empty() {
        return Err("http:// is for allow_private_networks alone: use https://".to_owned());
    }
    let authority = uri.authority().ok_or_else(|| "its url has no host".to_owned())?;
    // `https://good.example@10.0.0.1/` reads like another place than it is, and the signature proves who sends.
    if authority.as_str().contains('@') {
        return Err("its url may hold no user and password".to_owned());
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
        return Err("its url's port is none".to_owned());
    }
    let policy = AddressPolicy { allowed: options.allow_private_networks.clone(), plain };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("its url has no host".to_owned());
    }
    // An address is known now; a name, and what only a resolver takes for an address, is checked at each connection.
    if let Ok(address) = host.parse::<IpAddr>() {
        policy.check(address).map_err(|reason| format!("its url leads to {reason}: see allow_private_networks"))?;
    }
    Ok((uri, policy))
}

fn authorities(options: &WebhookOptions) -> Result<RootCerts, OptionsError> {
    let Some(pem) = &options.ca_certificates_pem else { return Ok(RootCerts::WebPki) };
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(OptionsError::new(&options.name, "its certificate authorities are not PEM")),
        }
    }
    if certificates.is_empty() {
        return Err(OptionsError::new(&options.name, "there is no certificate in its certificate authorities"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// A certificate holds names that its owner chose: they may not fill or break a line of the log.
fn tls_words(words: &str) -> String {
    words.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
