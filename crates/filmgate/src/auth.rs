//! From a request's headers to who asks, before any body is read.
//!
//! A cookie is sent by the browser whoever wrote the page, so a request that changes something and is signed in by
//! cookie must come from a page of this origin: by `Sec-Fetch-Site` (Fetch Metadata) where the browser sends it, else
//! by `Origin`. Programs send neither and are let through. The app's pages need no change for it.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use identity::{Caller, SignInProof};
use records::{Role, User};

use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::listen::Peer;

/// Name of Filmgate's own cookie: never `session`, which is the app's.
pub const COOKIE: &str = "filmgate_sign_in";

/// A signed-in user.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Their sign-in; `None` with a token.
    pub sign_in: Option<SignInProof>,
}

impl SignedIn {
    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
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
            Some(Caller::User { user, .. }) if user.role == Role::Admin => Ok(Self),
            Some(Caller::User { .. }) => Err(Error::forbidden()),
            None => Err(Error::unauthenticated()),
        }
    }
}

async fn caller(parts: &Parts, app: &App) -> Result<Option<Caller>> {
    // A token, right or wrong, is the caller's own word: a cookie beside it does not count.
    if let Some(authorization) = parts.headers.get(header::AUTHORIZATION) {
        return Ok(match authorization.to_str().ok().and_then(bearer) {
            Some(token) => app.identity.by_token(token).await?,
            None => None,
        });
    }
    let Some(secret) = cookie(&parts.headers, COOKIE) else { return Ok(None) };
    let caller = app.identity.by_sign_in(secret).await?;
    if caller.is_some() {
        refuse_cross_site(parts, &app.config)?;
    }
    Ok(caller)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The first cookie of this name.
fn cookie<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
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
