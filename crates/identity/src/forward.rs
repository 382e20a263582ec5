//! Who is asking, by asking the app: forward-auth, for apps whose sessions only they can read.
//!
//! **Owns** the question, what its answer means, and what was answered a moment ago.
//! **Promises** that the app sees a request's cookies and authorization and never its body, nor Filmgate's own cookie;
//! that a question ends within its time, whatever the app does; that the same one is asked once, however many wait for
//! it; that an answer counts for the credentials it was given for, and no longer than it may; that an app which is away
//! lets nobody in.
//!
//! The question is *who*, and not *may they*: method and address go along for the app's log, and an answer is kept
//! whatever they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::claim::{Claim, UserId};
use crate::member::{member, says};
use crate::{Asking, COOKIE, http};

/// Answers remembered; beyond them the oldest go.
const ANSWERS_MAX: usize = 10_000;
/// Somebody who just signed in, under a cookie they had before, must not stay nobody.
const NOBODY_LASTS_MAX: Duration = Duration::from_secs(1);
/// Questions at once. More would take the app's workers, for which Filmgate stands in.
const QUESTIONS_MAX: usize = 32;

/// How to ask the app.
#[derive(Clone, Debug)]
pub struct ForwardOptions {
    /// The app's address that says who is signed in.
    pub url: String,
    /// Longest wait for its answer.
    pub timeout: Duration,
    /// How long an answer counts.
    pub cache: Duration,
    /// Headers of the answer that may name the user's number; the first that is there counts.
    pub user_headers: Vec<String>,
    /// The member of a JSON answer that does.
    pub user_member: String,
    /// The one with the name.
    pub username_member: String,
    /// The header of the answer that makes an administrator where it is `admin_value`. Empty: none.
    pub admin_header: String,
    /// The member of a JSON answer that does. Empty: none.
    pub admin_member: String,
    /// What they say then.
    pub admin_value: String,
    /// The cookies that are sent. Empty: all but Filmgate's own.
    pub cookie_names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

type Key = [u8; 32];
type Outcome = Result<Option<Claim>, Arc<str>>;

enum Entry {
    Asked(Shared<BoxFuture<'static, Outcome>>),
    Known { claim: Option<Claim>, until: Instant },
}

#[derive(Clone)]
pub(crate) struct Forward {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    options: ForwardOptions,
    entries: Mutex<HashMap<Key, Entry>>,
    places: Semaphore,
    questions: Family<Labels, Counter>,
}

impl Forward {
    /// # Errors
    /// Says what of the options cannot be.
    pub(crate) fn new(options: ForwardOptions) -> Result<Self, String> {
        let client = http::client(&options.url, options.timeout)?;
        let places = Semaphore::new(QUESTIONS_MAX);
        let inner = Inner { client, options, entries: Mutex::default(), places, questions: Family::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Questions to the app who somebody is, by outcome";
        registry.register("identity_questions", help, self.inner.questions.clone());
    }

    /// Whom the app names; `None`: nobody.
    ///
    /// # Errors
    /// Where the app gave no answer that can be used; for the log.
    pub(crate) async fn claim(&self, asking: &Asking<'_>) -> Result<Option<Claim>, String> {
        let cookies = self.cookies(asking);
        if cookies.is_empty() && asking.authorization.is_none() {
            return Ok(None);
        }
        let key = key_of(&cookies, asking);
        let question = {
            let mut entries = self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner);
            match entries.get(&key) {
                Some(Entry::Known { claim, until }) if *until > Instant::now() => {
                    self.inner.count("cached");
                    return Ok(claim.clone());
                }
                Some(Entry::Asked(question)) => {
                    self.inner.count("joined");
                    question.clone()
                }
                _ => {
                    make_room(&mut entries);
                    let question = self.ask(key, headers(&cookies, asking)?);
                    entries.insert(key, Entry::Asked(question.clone()));
                    question
                }
            }
        };
        question.await.map_err(|error| error.to_string())
    }

    /// What of the cookies the app gets.
    fn cookies(&self, asking: &Asking<'_>) -> Vec<u8> {
        let names = &self.inner.options.cookie_names;
        let pairs = asking.cookies.iter().flat_map(|line| line.split(|byte| *byte == b';'));
        let wanted = pairs.map(<[u8]>::trim_ascii).filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
            let is_wanted = names.is_empty() || names.iter().any(|wanted| wanted.as_bytes() == name);
            // The secret of a sign-in here is no business of the app's.
            !pair.is_empty() && is_wanted && name != COOKIE.as_bytes()
        });
        wanted.collect::<Vec<_>>().join(&b"; "[..])
    }

    /// Asks in a task of its own: whoever leaves does not take the question from those who wait as well.
    fn ask(&self, key: Key, headers: HeaderMap) -> Shared<BoxFuture<'static, Outcome>> {
        let inner = self.inner.clone();
        let asked = tokio::spawn(async move {
            let timeout = inner.options.timeout;
            let asked = tokio::time::timeout(timeout, inner.ask(headers)).await;
            let outcome = asked.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")));
            inner.settle(key, outcome)
        });
        asked.map(|outcome| outcome.unwrap_or_else(|_| Err("the question ended early".into()))).boxed().shared()
    }
}

impl Inner {
    fn count(&self, outcome: &'static str) {
        self.questions.get_or_create(&Labels { outcome }).inc();
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Option<Claim>, String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let answer = http::send(self.client.get(&self.options.url).headers(headers)).await?;
        match answer.status() {
            status if status.is_success() => self.read(answer).await,
            // Where a browser would be sent to sign in.
            status if status.is_redirection() => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Err(format!("it answered {}: is identity.forward.url right?", answer.status().as_u16()))
            }
            status => Err(format!("it answered {}", status.as_u16())),
        }
    }

    async fn read(&self, answer: reqwest::Response) -> Result<Option<Claim>, String> {
        let options = &self.options;
        let text = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let by_header = !options.admin_header.is_empty()
            && text(&options.admin_header).is_some_and(|found| found == options.admin_value);
        if let Some(user) = options.user_headers.iter().find_map(|name| text(name)) {
            return Ok(Some(Claim { user_id: UserId::Text(user), username: None, is_admin: by_header }));
        }
        let kind = text("content-type").unwrap_or_default().to_ascii_lowercase();
        if options.user_member.is_empty() || !kind.contains("json") {
            return Ok(None);
        }
        let body = http::body(answer).await?;
        let json: Value = serde_json::from_slice(&body).map_err(|_| "its answer says it is JSON, and is none")?;
        let Some(user_id) = member(&json, &options.user_member).cloned().and_then(UserId::of) else { return Ok(None) };
        let username = member(&json, &options.username_member).and_then(Value::as_str).map(str::to_owned);
        let is_admin = by_header || says(&json, &options.admin_member, &options.admin_value);
        Ok(Some(Claim { user_id, username, is_admin }))
    }

    /// Keeps an answer; a failure is for those who wait for it and for nobody after them.
    fn settle(&self, key: Key, outcome: Result<Option<Claim>, String>) -> Outcome {
        self.count(match &outcome {
            Ok(Some(_)) => "user",
            Ok(None) => "nobody",
            Err(_) => "failed",
        });
        let outcome = outcome.map_err(Arc::from);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(claim) => {
                let lasts = self.options.cache;
                let lasts = if claim.is_some() { lasts } else { lasts.min(NOBODY_LASTS_MAX) };
                entries.insert(key, Entry::Known { claim: claim.clone(), until: Instant::now() + lasts });
            }
            Err(_) => drop(entries.remove(&key)),
        }
        outcome
    }
}

/// What an answer is kept by. The app may look at browser and address as well; these differ, then it is asked again.
fn key_of(cookies: &[u8], asking: &Asking<'_>) -> Key {
    let parts = [Some(cookies), asking.authorization, asking.user_agent, Some(asking.app_address.as_ref())];
    let mut hash = Sha256::new();
    for part in parts {
        // With their lengths: no two questions must read alike.
        hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize().into()
}

fn make_room(entries: &mut HashMap<Key, Entry>) {
    if entries.len() < ANSWERS_MAX {
        return;
    }
    let now = Instant::now();
    entries.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
    if entries.len() >= ANSWERS_MAX {
        // So many in so short a time are no people: all are asked about again.
        entries.retain(|_, entry| matches!(entry, Entry::Asked(_)));
    }
}

fn headers(cookies: &[u8], asking: &Asking<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: Cow<'_, [u8]>| {
        // Nothing that came in as a header can fail here; what cannot is left out rather than let through changed.
        HeaderValue::from_bytes(&value)
            .map(|value| drop(headers.insert(name, value)))
            .map_err(|error| error.to_string())
    };
    let borrowed = |text: &'static str| HeaderName::from_static(text);
    if !cookies.is_empty() {
        set(header::COOKIE, Cow::Borrowed(cookies))?;
    }
    for (name, value) in [(header::AUTHORIZATION, asking.authorization), (header::USER_AGENT, asking.user_agent)] {
        if let Some(value) = value {
            set(name, Cow::Borrowed(value))?;
        }
    }
    set(header::ACCEPT, Cow::Borrowed(b"application/json"))?;
    set(borrowed("x-forwarded-for"), asking.app_address.clone())?;
    set(borrowed("x-forwarded-method"), Cow::Borrowed(asking.method.as_bytes()))?;
    set(borrowed("x-forwarded-uri"), Cow::Borrowed(asking.target.as_bytes()))?;
    set(borrowed("x-forwarded-host"), Cow::Borrowed(asking.host.as_bytes()))?;
    set(borrowed("x-forwarded-proto"), Cow::Borrowed(if asking.https { b"https" } else { b"http" }))?;
    Ok(headers)
}
