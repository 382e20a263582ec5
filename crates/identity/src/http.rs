//! Asking somebody over HTTP: bounded in time and size, and never led elsewhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};

/// More than any answer about a user, or any set of keys, has.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Below the two seconds of Gunicorn, which closes a connection just as it is used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client for this address. No proxy of the environment, no redirect followed: what is sent is for one place.
///
/// # Errors
/// Says what is wrong with the address or with TLS.
pub(crate) fn client(url: &str, timeout: Duration) -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let tls = if url.starts_with("http://") {
        // Never used: a machine without certificate authorities can still ask an app beside it.
        tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    } else {
        use rustls_platform_verifier::BuilderVerifierExt as _;
        tls.with_platform_verifier().map_err(|error| format!("TLS: {error}"))?.with_no_client_auth()
    };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .connect_timeout(timeout)
        .timeout(timeout)
        .user_agent(concat!("Filmgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| words(&error))
}

/// Sends it, and once more where a connection that had been used before broke.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, String> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Ok(answer), _) => Ok(answer),
        (Err(error), Some(again)) if !error.is_timeout() && !error.is_connect() => {
            again.send().await.map_err(|error| words(&error))
        }
        (Err(error), _) => Err(words(&error)),
    }
}

/// The body, if it is not too large.
pub(crate) async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| words(&error))? {
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(format!("its answer is larger than {BODY_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// reqwest's own words may hold the address, and that a password.
fn words(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else if error.is_builder() {
        "its address is none"
    } else {
        "the answer broke off"
    };
    what.to_owned()
}
