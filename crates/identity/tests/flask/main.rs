//! What the real Flask and Flask-Login say of a request, and what we say: the same, of every version.
//!
//! The committed vectors are those of `tests/vectors/make.py`, made with the versions that they name. With
//! `FILMGATE_FLASK_VECTORS=FOLDER` all `*.json` of that folder are read instead: `scripts/identity-check` fills one with
//! what the libraries make now.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod directory;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use identity::{
    Asking, Caller, Error, FlaskOptions, Identity, IdentityOptions, Known, Origin, ProviderOptions, SessionProtection,
};
use jiff::Timestamp;
use records::{CatalogOptions, Records};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    versions: std::collections::BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    settings: Settings,
    request: Sent,
    at: i64,
    /// Whom the library found.
    user: Option<String>,
}

#[derive(Deserialize)]
struct Settings {
    secret_keys: Vec<String>,
    salt: String,
    cookie_name: String,
    max_age_seconds: u64,
    remember_cookie_name: String,
    session_protection: String,
}

#[derive(Deserialize)]
struct Sent {
    cookie: String,
    user_agent: Option<String>,
    x_forwarded_for: Option<String>,
    peer: String,
}

/// A header as it was on the wire: WSGI reads it as Latin-1.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

fn options(settings: &Settings) -> FlaskOptions {
    FlaskOptions {
        secret_keys: settings.secret_keys.clone(),
        cookie_name: settings.cookie_name.clone(),
        salt: settings.salt.clone(),
        max_age: Duration::from_secs(settings.max_age_seconds),
        remember_cookie_name: settings.remember_cookie_name.clone(),
        session_protection: match settings.session_protection.as_str() {
            "strong" => SessionProtection::Strong,
            "basic" => SessionProtection::Basic,
            _ => SessionProtection::None,
        },
    }
}

fn identity(records: &Records, provider: ProviderOptions, at: i64) -> Identity {
    let options = IdentityOptions {
        sign_in_duration: Duration::from_hours(1),
        password_bytes_min: 10,
        sign_ins_per_minute_per_user: 3,
        sign_ins_per_minute_per_address: 5,
        shared_guesses: None,
        password_hashing_parallel: 1,
        provider,
        admin_user_ids: Vec::new(),
    };
    let now = Timestamp::from_second(at).unwrap();
    Identity::new(records.clone(), options, Arc::new(move || now)).unwrap()
}

fn identity_of(records: &Records, case: &Case) -> Identity {
    identity(records, ProviderOptions::Flask(options(&case.settings)), case.at)
}

async fn ask(identity: &Identity, case: &Case) -> Result<Option<Known>, Error> {
    let cookie = latin1(&case.request.cookie);
    let agent = case.request.user_agent.as_deref().map(latin1);
    let first = case.request.x_forwarded_for.as_deref().and_then(|hops| hops.split(',').next()).map(str::trim);
    let asking = Asking {
        cookies: vec![&cookie],
        authorization: None,
        user_agent: agent.as_deref(),
        app_address: Cow::Owned(latin1(first.unwrap_or(&case.request.peer))),
        address: "192.0.2.1".parse().unwrap(),
        method: "POST",
        target: "/assessment/camera/upload",
        host: "localhost",
        https: false,
    };
    identity.who(&asking).await
}

async fn ours(records: &Records, case: &Case) -> Option<i64> {
    let known = ask(&identity_of(records, case), case).await.unwrap()?;
    assert!(known.by_browser, "{}", case.name);
    let Caller::User { user, sign_in: None } = known.caller else { panic!("{}: {:?}", case.name, known.caller) };
    assert_eq!((user.origin, user.is_admin), (Origin::App, false), "{}", case.name);
    Some(user.id)
}

fn catalog() -> (Records, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Records::open(&folder.path().join("catalog.sqlite"), &CatalogOptions::default()).unwrap(), folder)
}

fn vectors() -> Vec<PathBuf> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let folder = std::env::var_os("FILMGATE_FLASK_VECTORS").map_or(committed, PathBuf::from);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn we_find_whom_the_real_libraries_find() {
    let (records, _folder) = catalog();
    let files = vectors();
    assert_eq!(files.len(), 4, "Flask 2.2, 2.3, 3.0 and 3.1");
    for file in files {
        let vectors: Vectors = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (mut somebody, mut nobody, mut no_number) = (0, 0, 0);
        let mut wrong = Vec::new();
        for case in &vectors.cases {
            // Users whose id is no number are somebody to the app and nobody to Filmgate.
            let theirs = case.user.as_deref().map(|user| user.parse::<i64>().ok().filter(|id| *id >= 0));
            match theirs {
                Some(Some(_)) => somebody += 1,
                Some(None) => no_number += 1,
                None => nobody += 1,
            }
            let ours = ours(&records, case).await;
            if ours != theirs.flatten() {
                wrong.push(format!("{}: they find {:?}, we {ours:?}", case.name, case.user));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", file.display(), wrong.join("\n"));
        assert!(somebody >= 80 && nobody >= 40 && no_number >= 5, "too few cases in {}", file.display());
        let versions: Vec<_> = vectors.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        println!("{}: {somebody} found, {nobody} not, {no_number} without a number", versions.join(", "));
    }
}

/// Without it the test above could agree with anything.
#[tokio::test]
async fn with_another_key_nobody_is_found() {
    let (records, _folder) = catalog();
    let mut tried = 0;
    for file in vectors() {
        let mut vectors: Vectors = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for case in &mut vectors.cases {
            case.settings.secret_keys = vec!["no key of anybody's".to_owned()];
            assert_eq!(ours(&records, case).await, None, "{}", case.name);
            tried += 1;
        }
    }
    println!("{tried} requests, nobody found");
}
