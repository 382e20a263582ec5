//! Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), so many at once and no more.

use std::sync::{Arc, OnceLock};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, oneshot};

use crate::Error;

#[derive(Clone)]
pub(crate) struct Passwords {
    /// A thousand sign-ins at once would else take 19 GiB and every core.
    places: Arc<Semaphore>,
}

/// The hash of a password nobody has, so that an unknown username takes as long as a wrong password.
fn nobodys_hash() -> Option<&'static str> {
    static HASH: OnceLock<Option<String>> = OnceLock::new();
    HASH.get_or_init(|| hash_now(b"a password nobody has").ok()).as_deref()
}

fn hash_now(password: &[u8]) -> Result<String, Error> {
    Ok(Argon2::default().hash_password(password).map_err(|error| Error::Internal(error.to_string()))?.to_string())
}

impl Passwords {
    pub(crate) fn new(parallel: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(parallel.max(1))) }
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        self.run(move || hash_now(password.as_bytes())).await?
    }

    /// Whether the password is the one of `hash`; with no hash, after the same work, no.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        self.run(move || {
            let known = hash.is_some();
            let Some(hash) = hash.or_else(|| nobodys_hash().map(str::to_owned)) else { return false };
            let Ok(parsed) = PasswordHash::new(&hash) else { return false };
            // The comparison inside is in constant time.
            Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = self.places.clone().acquire_owned().await.map_err(|error| Error::Internal(error.to_string()))?;
        let (answer, wait) = oneshot::channel();
        // A thread of its own, gone afterwards: on the runtime's blocking threads the allocator would keep 19 MiB for
        // each of hundreds of threads that ever hashed a password.
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            let _place = place;
            // Nobody may wait any more; then nobody misses the answer.
            drop(answer.send(work()));
        });
        thread.map_err(|error| Error::Internal(error.to_string()))?;
        wait.await.map_err(|error| Error::Internal(error.to_string()))
    }
}
