//! Where the keys come from: once from a secret, and again and again from an address or a file.
//!
//! Staleness, stated: keys are fetched again when they are older than `refresh`, beside what goes on; a key that was
//! taken out of the set counts no longer than that. While the set cannot be fetched the old one counts until it is older
//! than `keep`. A key's name that nobody has heard of fetches the set at once, but no oftener than every `refetch`:
//! tokens of strangers must not make us call.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::Client;

use super::keys::{Keys, Verdict};
use super::token::Token;
use super::{JwtOptions, NoClaim};
use crate::http;
use crate::refused::Reason;

enum Place {
    Url(Client, String),
    File(PathBuf),
}

struct Fetched {
    keys: Arc<Keys>,
    at: Instant,
}

#[derive(Default)]
struct State {
    fetched: Option<Fetched>,
    /// When it was last tried, and what came of it where it failed.
    tried_at: Option<Instant>,
    failure: String,
}

pub(super) struct Set {
    place: Place,
    timeout: Duration,
    refresh: Duration,
    keep: Duration,
    refetch: Duration,
    state: RwLock<State>,
    fetching: tokio::sync::Mutex<()>,
}

pub(super) enum Source {
    Secret(Keys),
    Set(Arc<Set>),
}

impl Source {
    pub(super) fn new(options: &JwtOptions) -> Result<Self, String> {
        if !options.secret.is_empty() {
            return Ok(Self::Secret(Keys::of_secret(&options.secret)));
        }
        let place = if options.jwks_url.is_empty() {
            Place::File(options.jwks_file.clone())
        } else {
            Place::Url(http::client(&options.jwks_url, options.timeout)?, options.jwks_url.clone())
        };
        Ok(Self::Set(Arc::new(Set {
            place,
            timeout: options.timeout,
            refresh: options.refresh,
            keep: options.keep,
            refetch: options.refetch,
            state: RwLock::default(),
            fetching: tokio::sync::Mutex::new(()),
        })))
    }

    /// The payload of a token that one of the keys signed.
    pub(super) async fn verified(&self, token: &Token<'_>) -> Result<Vec<u8>, NoClaim> {
        let verdict = match self {
            Self::Secret(keys) => keys.judge(token),
            Self::Set(set) => set.judge(token).await.map_err(NoClaim::Unavailable)?,
        };
        match verdict {
            Verdict::Good => Ok(token.payload()?),
            Verdict::Bad(reason) => Err(reason.into()),
            Verdict::Unknown => Err(Reason::UnknownKey.into()),
        }
    }
}

impl Set {
    async fn judge(self: &Arc<Self>, token: &Token<'_>) -> Result<Verdict, String> {
        let verdict = self.keys().await?.judge(token);
        if !matches!(verdict, Verdict::Unknown) || !self.may_fetch() {
            return Ok(verdict);
        }
        // A failure is no reason to refuse more than this token: the keys that are there still count.
        self.fetch_once().await;
        Ok(self.keys().await?.judge(token))
    }

    /// The keys as they are; fetched first where there are none that still count.
    async fn keys(self: &Arc<Self>) -> Result<Arc<Keys>, String> {
        if let Some((keys, age)) = self.known() {
            if age > self.refresh && self.may_fetch() {
                let set = self.clone();
                tokio::spawn(async move { set.fetch_once().await });
            }
            return Ok(keys);
        }
        if self.may_fetch() || self.read().failure.is_empty() {
            self.fetch_once().await;
        }
        self.known().map(|(keys, _)| keys).ok_or_else(|| self.read().failure.clone())
    }

    fn known(&self) -> Option<(Arc<Keys>, Duration)> {
        let state = self.read();
        let fetched = state.fetched.as_ref()?;
        let age = fetched.at.elapsed();
        (age <= self.keep).then(|| (fetched.keys.clone(), age))
    }

    fn may_fetch(&self) -> bool {
        self.read().tried_at.is_none_or(|at| at.elapsed() >= self.refetch)
    }

    /// Fetches, unless somebody else did while we waited our turn.
    async fn fetch_once(&self) {
        let began = Instant::now();
        let _turn = self.fetching.lock().await;
        if self.read().tried_at.is_some_and(|at| at >= began) {
            return;
        }
        let fetched = tokio::time::timeout(self.timeout, self.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.tried_at = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                state.fetched = Some(Fetched { keys: Arc::new(keys), at: Instant::now() });
                state.failure.clear();
            }
            Err(failure) => {
                tracing::warn!(failure, "the keys that tokens are signed with could not be fetched");
                state.failure = failure;
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let bytes = match &self.place {
            Place::File(path) => tokio::fs::read(path).await.map_err(|error| format!("its file: {error}"))?,
            Place::Url(client, url) => {
                let answer = http::send(client.get(url)).await?;
                if !answer.status().is_success() {
                    return Err(format!("it answered {}", answer.status().as_u16()));
                }
                http::body(answer).await?
            }
        };
        Keys::parse(&bytes)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}
