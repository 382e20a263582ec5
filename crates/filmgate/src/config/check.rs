//! What must hold between two settings.
//!
//! Owns the relations; what one value must be alone stands with its declaration. Compares only what
//! was read without a problem: a relation to a default that takes a broken value's place would send
//! the reader the wrong way.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::declare::KEYS;
use super::layers::Layers;
use super::problems::{Problem, Source};
use super::settings::{Durability, Provider, ServeFrom};
use super::values::{Setting, group_digits};

/// The first must not be above the second, and why.
pub(super) const NOT_ABOVE: &[(&str, &str, &str)] = &[
    ("ingest.upload_bytes_max", "ingest.request_bytes_max", "a photo comes in a request"),
    ("ingest.metadata_bytes_max", "ingest.request_bytes_max", "metadata comes in a request"),
    ("ingest.request_bytes_max", "ingest.bytes_in_flight_per_user_max", "the largest request would never be let in"),
    ("ingest.bytes_in_flight_per_user_max", "ingest.bytes_in_flight_max", "one user is part of all"),
    ("ingest.uploads_in_flight_per_user_max", "ingest.uploads_in_flight_max", "one user is part of all"),
    ("ingest.captures_per_request_max", "ingest.parts_per_request_max", "each photo is a part"),
    ("jobs.retry_delay_min_ms", "jobs.retry_delay_max_ms", "the first wait is the shortest"),
    ("jobs.retry_delay_min_ms", "webhook.retry_delay_max_ms", "the first wait is the shortest"),
    ("processing.thumb_px", "processing.preview_px", "the thumbnail is the smaller one"),
    ("identity.jwt.refresh_seconds", "identity.jwt.keep_seconds", "keys are fetched anew before they are too old"),
    ("server.body_grace_ms", "server.body_total_timeout_ms", "the grace is part of the whole time"),
    ("server.body_idle_timeout_ms", "server.body_total_timeout_ms", "a silence is part of the whole time"),
    (
        "identity.sign_ins_per_minute_per_user",
        "identity.sign_ins_per_minute_per_address",
        "the first counts within the second",
    ),
];

/// Adds a problem for each relation that does not hold.
pub(super) fn relations(layers: &mut Layers) {
    if layers.torn {
        return;
    }
    for (small, large, why) in NOT_ABOVE {
        if let (Some(small_number), Some(large_number)) = (number(layers, small), number(layers, large))
            && small_number > large_number
        {
            layers.problems.push(Problem {
                place: place(layers, &[small, large]),
                what: format!("{small} is above {large}: {why}"),
                allowed: Some(format!("{small} up to {}, or a larger {large}", grouped(large_number))),
                hint: Some(format!(
                    "{small} is {} ({}), {large} is {} ({})",
                    grouped(small_number),
                    origin(layers, small),
                    grouped(large_number),
                    origin(layers, large),
                )),
            });
        }
    }
    tls_files(layers);
    bucket(layers);
    identity(layers);
}

/// A provider without what it needs lets nobody in, or, without issuer and audience, everybody.
fn identity(layers: &mut Layers) {
    const PROVIDER: &str = "identity.provider";
    let config = &layers.config;
    let (flask, forward, jwt) = (&config.flask, &config.forward, &config.jwt);
    let sources = [!jwt.jwks_url.is_empty(), !jwt.jwks_file.as_os_str().is_empty(), !jwt.secret.is_empty()];
    let has_keys = sources.iter().filter(|is_set| **is_set).count() == 1;
    let needs: &[(&str, bool, &str, &str)] = match config.identity.provider {
        Provider::Local => &[],
        Provider::Flask => &[(
            "identity.flask.secret_keys",
            !flask.secret_keys.is_empty(),
            "no cookie of the app could be read",
            "the app's SECRET_KEY, and its SECRET_KEY_FALLBACKS after it; best from a file of its own: secret_keys_file",
        )],
        Provider::Forward => &[(
            "identity.forward.url",
            !forward.url.is_empty(),
            "there is nobody to ask",
            "the app's address that says who is signed in",
        )],
        Provider::Jwt => &[
            (
                "identity.jwt.jwks_url",
                has_keys,
                "tokens are held against the keys of one place",
                "one of jwks_url, jwks_file and secret, and no two of them",
            ),
            (
                "identity.jwt.issuer",
                !jwt.issuer.is_empty(),
                "everybody's tokens would count",
                "exactly what the tokens have as \"iss\"",
            ),
            (
                "identity.jwt.audiences",
                !jwt.audiences.is_empty(),
                "tokens for every other program would count here",
                "what the tokens for Filmgate have in \"aud\"",
            ),
        ],
    };
    let provider = config.identity.provider.show().concat();
    for (name, _, why, what) in needs.iter().filter(|(_, is_met, ..)| !is_met) {
        if [PROVIDER, name].iter().any(|name| layers.broken.contains(name)) {
            continue;
        }
        layers.problems.push(Problem {
            place: place(layers, &[PROVIDER]),
            what: format!("{PROVIDER} is \"{provider}\", and {name} is not right for it: {why}"),
            allowed: Some((*what).to_owned()),
            hint: Some(format!("set {name}; docs/identity.md has an example")),
        });
    }
}

/// What goes with photos in a bucket, and what goes with nothing else.
fn bucket(layers: &mut Layers) {
    const URL: &str = "blobs.url";
    if layers.broken.contains(URL) {
        return;
    }
    let config = &layers.config;
    let (is_bucket, needs_bucket) = (
        config.blobs.is_bucket(),
        [
            ("ingest.durability", "node", config.ingest.durability == Durability::Node),
            ("blobs.serve", "redirect", config.blobs.serve == ServeFrom::Redirect),
        ],
    );
    let keys = [
        ("blobs.s3_access_key_id", config.blobs.s3_access_key_id.is_empty()),
        ("blobs.s3_secret_access_key", config.blobs.s3_secret_access_key.is_empty()),
    ];
    for (name, value, _) in
        needs_bucket.into_iter().filter(|(name, .., is_set)| *is_set && !is_bucket && !layers.broken.contains(name))
    {
        layers.problems.push(Problem {
            place: place(layers, &[name]),
            what: format!("{name} is \"{value}\", and the photos are in a folder: it is for photos in S3"),
            allowed: Some(format!("\"{value}\" together with blobs.url = \"s3://BUCKET\"")),
            hint: Some(format!("leave {name} out, or name a bucket")),
        });
    }
    for (name, _) in keys.into_iter().filter(|(name, is_empty)| *is_empty && is_bucket && !layers.broken.contains(name))
    {
        layers.problems.push(Problem {
            place: place(layers, &[URL]),
            what: format!("{URL} is a bucket, and {name} is not set"),
            allowed: Some("both keys, as the store gave them".to_owned()),
            hint: Some(format!("set {name}, best from a file of its own or the environment")),
        });
    }
}

/// Both or none, and readable now rather than at the first handshake.
fn tls_files(layers: &mut Layers) {
    const CERTIFICATE: &str = "server.tls_certificate_file";
    const KEY: &str = "server.tls_key_file";
    if layers.broken.contains(CERTIFICATE) || layers.broken.contains(KEY) {
        return;
    }
    let server = layers.config.server.clone();
    let files = [(CERTIFICATE, KEY, server.tls_certificate_file), (KEY, CERTIFICATE, server.tls_key_file)];
    let set = files.iter().filter(|(.., path)| !path.as_os_str().is_empty()).count();
    for (name, other, path) in files.iter().filter(|(.., path)| !path.as_os_str().is_empty()) {
        if set == 1 {
            layers.problems.push(Problem {
                place: place(layers, &[name]),
                what: format!("{name} is set, {other} is not"),
                allowed: Some("both, for HTTPS, or none".to_owned()),
                hint: Some(format!("set {other} as well")),
            });
        }
        if let Err(error) = readable(path) {
            layers.problems.push(Problem {
                place: place(layers, &[name]),
                what: format!("{name}: {} cannot be read: {error}", path.display()),
                allowed: Some("a PEM file that this user may read".to_owned()),
                hint: Some("check the path, and who may read it".to_owned()),
            });
        }
    }
}

fn readable(path: &Path) -> std::io::Result<()> {
    File::open(path)?.read(&mut [0]).map(|_| ())
}

fn number(layers: &Layers, dotted: &str) -> Option<u64> {
    let key = KEYS.iter().find(|key| key.dotted == dotted)?;
    if layers.broken.contains(key.dotted) { None } else { (key.number)(&layers.config) }
}

/// The first of them that somebody set.
fn place(layers: &Layers, dotted: &[&str]) -> Source {
    let set = dotted.iter().find_map(|dotted| layers.config.sources.get(dotted));
    set.cloned().unwrap_or(Source::Default)
}

fn origin(layers: &Layers, dotted: &str) -> String {
    layers.config.sources.get(dotted).unwrap_or(&Source::Default).to_string()
}

fn grouped(number: u64) -> String {
    group_digits(&number.to_string())
}
