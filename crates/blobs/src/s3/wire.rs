//! The wire: one HTTP client with its limits of time, and each answer looked at before `object_store` sees it.
//!
//! `object_store` tells a caller little of what a store answered. Here every refusal becomes an [`Answer`] in the chain
//! of causes, with S3's own code, from which `faults.rs` decides what it means.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use rustls_platform_verifier::BuilderVerifierExt;

use super::S3Options;
use super::metrics::Metrics;
use crate::{Error, Result};

/// A store that is there answers a connection sooner than this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Enough of a refusal's body to find its code in.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// The client. No proxy of the environment, no redirect followed: a signature is for one address.
pub(super) fn client(options: &S3Options) -> Result<reqwest::Client> {
    let failed = |error: &dyn fmt::Display| Error::Io(std::io::Error::other(format!("TLS for S3: {error}")));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let is_plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let tls = if is_plain {
        // Never used: a machine without certificate authorities can still speak to a store beside it.
        tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    } else {
        tls.with_platform_verifier().map_err(|error| failed(&error))?.with_no_client_auth()
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
        .timeout(options.timeout)
        .build()
        .map_err(|error| Error::Io(std::io::Error::other(error)))
}

/// What a store said instead of doing it.
#[derive(Debug, thiserror::Error)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// S3's word for it; empty where there was none, as after HEAD.
    pub(super) code: String,
    message: String,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: &str) -> Self {
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            let (text, _) = rest.split_once("</")?;
            Some(text.chars().take(300).collect())
        };
        Self { status, code: element("Code").unwrap_or_default(), message: element("Message").unwrap_or_default() }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3 answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}: {}", self.code, self.message)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Wire {
    client: reqwest::Client,
    metrics: Metrics,
}

impl Wire {
    pub(super) fn new(client: reqwest::Client, metrics: Metrics) -> Self {
        Self { client, metrics }
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let began = Instant::now();
        let outcome = self.client.call(request).await;
        self.metrics.request_seconds.observe(began.elapsed().as_secs_f64());
        let response = match outcome {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => response,
            Err(error) => {
                self.metrics.failures.inc();
                return Err(error);
            }
        };
        let status = response.status();
        if !matches!(status, StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED) {
            self.metrics.failures.inc();
        }
        let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let answer = Answer::new(status, &String::from_utf8_lossy(&body));
        // A kind that `object_store` does not try again by itself.
        Err(HttpError::new(HttpErrorKind::Unknown, answer))
    }
}
