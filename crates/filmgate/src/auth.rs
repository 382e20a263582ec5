//! From a request's headers to who asks, before any body is read.
//!
//! A cookie is sent by the browser whoever wrote the page, so a request that changes something and is signed in by
//! cookie must come from a page of this origin: by `Sec-Fetch-Site` (Fetch Metadata) where the browser sends it, else
//! by `Origin`. Programs send neither and are let through. The app's pages need no change for it. That holds for the app's
//! cookies as for Filmgate's own.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use identity::{Asking, COOKIE, Caller, Origin, Person, SignInProof};

use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::listen::Peer;

/// A signed-in user.
pub struct SignedIn {
    /// Who.
    pub user: Person,
    /// Their sign-in of Filmgate's own; `None` with a token, or signed in by the app.
    pub sign_in: Option<SignInProof>,
}

impl SignedIn {
    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        self.user.is_admin
    }

    /// Whether the app around Filmgate signed them in.
    pub fn is_of_the_app(&self) -> bool {
        self.user.origin == Origin::App
    }

    /// As intake knows them.
    pub fn uploader(&self) -> intake::Uploader {
        intake::Uploader { user_id: self.user.id, is_admin: self.is_admin() }
    }
}

/// An administrator.
pub struct Admin;

/// An administrator or the app's backend.
pub struct Manager;

impl FromRequestParts<App> for SignedIn {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match caller(parts, app).await? {
            Some(Caller::User { user, sign_in }) => Ok(Self { user, sign_in }),
            Some(Caller::Service) => Err(Error::forbidden()),
            None => Err(Error::unauthenticated()),
        }
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = SignedIn::from_request_parts(parts, app).await?;
        if caller.is_admin() { Ok(Self) } else { Err(Error::forbidden()) }
    }
}

impl FromRequestParts<App> for Manager {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match caller(parts, app).await? {
            Some(Caller::Service) => Ok(Self),
            Some(Caller::User { user, .. }) if user.is_admin => Ok(Self),
            Some(Caller::User { .. }) => Err(Error::forbidden()),
            None => Err(Error::unauthenticated()),
        }
    }
}

async fn caller(parts: &Parts, app: &App) -> Result<Option<Caller>> {
    let client = Client::of(parts, &app.config);
    let bytes = |name| parts.headers.get(name).map(axum::http::HeaderValue::as_bytes);
    let asking = Asking {
        cookies: parts.headers.get_all(header::COOKIE).into_iter().map(axum::http::HeaderValue::as_bytes).collect(),
        authorization: bytes(header::AUTHORIZATION),
        user_agent: bytes(header::USER_AGENT),
        app_address: app_address(parts, &app.config),
        address: client.address,
        method: parts.method.as_str(),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
        host: &client.host,
        https: client.https,
    };
    let Some(known) = app.identity.who(&asking).await? else { return Ok(None) };
    if known.by_browser {
        refuse_cross_site(parts, &app.config)?;
    }
    Ok(Some(known.caller))
}

/// The client's address as Flask-Login has it behind the same proxy: the first word of `X-Forwarded-For`, whoever wrote
/// it, or the peer. Ours is another one ([`Client`]), which nobody can make up.
fn app_address<'parts>(parts: &'parts Parts, config: &Config) -> Cow<'parts, [u8]> {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.addr.ip().to_canonical());
    let forwarded = parts.headers.get("x-forwarded-for").filter(|_| config.server.trusts(peer));
    let first = forwarded.and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    first.map_or_else(|| Cow::Owned(peer.to_string().into_bytes()), |address| Cow::Borrowed(address.trim_ascii()))
}

/// Refuses what a page of another site sends with the browser's cookie.
pub fn refuse_cross_site(parts: &Parts, config: &Config) -> Result<()> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
        return Ok(());
    }
    let text = |name| parts.headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN);
    if origin.is_some_and(|origin| config.server.allowed_origins.iter().any(|allowed| allowed == origin)) {
        return Ok(());
    }
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin" | "none") => return Ok(()),
        Some(_) => return Err(Error::cross_site()),
        None => {}
    }
    match origin {
        None => Ok(()),
        Some(origin) if origin == Client::of(parts, config).origin() => Ok(()),
        Some(_) => Err(Error::cross_site()),
    }
}

/// The client as it is beyond the trusted proxies.
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether its connection is encrypted.
    pub https: bool,
    /// The host it asked for.
    pub host: String,
    public_url: String,
}

impl Client {
    /// Reads `X-Forwarded-*` where the peer is a trusted proxy, and nowhere else.
    pub fn of(parts: &Parts, config: &Config) -> Self {
        let peer = parts.extensions.get::<Peer>();
        let mut address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.addr.ip());
        let mut https = peer.is_some_and(|peer| peer.tls);
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let mut host = text("host")
            .or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str))
            .unwrap_or_default()
            .to_owned();
        if config.server.trusts(address) {
            // Each proxy appends whom it saw: the last that is not a proxy of ours is the client.
            let all = parts.headers.get_all("x-forwarded-for").into_iter().filter_map(|line| line.to_str().ok());
            let hops: Vec<IpAddr> =
                all.flat_map(|line| line.split(',')).filter_map(|hop| hop.trim().parse().ok()).collect();
            if let Some(client) = hops.iter().rev().find(|hop| !config.server.trusts(**hop)).or(hops.first()) {
                address = *client;
            }
            https |= text("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
            if let Some(forwarded) = text("x-forwarded-host") {
                forwarded.split(',').next().unwrap_or_default().trim().clone_into(&mut host);
            }
        }
        if config.server.public_url.starts_with("https://") {
            https = true;
        }
        Self { address, https, host, public_url: config.server.public_url.trim_end_matches('/').to_owned() }
    }

    /// The origin that the client's browser sees.
    pub fn origin(&self) -> String {
        if self.public_url.is_empty() {
            format!("{}://{}", if self.https { "https" } else { "http" }, self.host)
        } else {
            self.public_url.clone()
        }
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts, &app.config))
    }
}

/// The `Set-Cookie` that signs in; with an empty secret, the one that signs out.
pub fn set_cookie(secret: &str, lifetime: std::time::Duration, https: bool) -> String {
    let cookie = cookie::Cookie::build((COOKIE, secret))
        .path("/")
        .http_only(true)
        .same_site(cookie::SameSite::Lax)
        .secure(https)
        .max_age(cookie::time::Duration::try_from(lifetime).unwrap_or(cookie::time::Duration::ZERO));
    cookie.build().to_string()
}
