//! The address of a bucket: `s3://BUCKET/PREFIX`.
//!
//! Owns its parts and its mistakes. Whether the bucket is there, only the store knows: `filmgate doctor`.

use super::problems::Mistake;
use super::rules;

/// Bucket and prefix of `s3://BUCKET/PREFIX`, the prefix without slashes at its ends.
pub fn parts(url: &str) -> Option<(&str, &str)> {
    let place = url.strip_prefix("s3://")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    Some((bucket, prefix.trim_matches('/')))
}

/// A folder or a bucket.
pub(super) fn blobs_url(text: &str) -> Result<(), Mistake> {
    if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(Mistake::plain("is the address of a server")
            .hint(format!("a bucket is s3://BUCKET; {} goes to blobs.s3_endpoint", without_password(host))));
    }
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    if !matches!(scheme, "s3" | "S3" | "s3a" | "s3n") {
        return rules::store(text, "file", &[]);
    }
    let place = rest.trim_start_matches('/');
    if place.contains('@') {
        return Err(Mistake::plain("holds a key or a password")
            .hint("write s3://BUCKET; the key goes to blobs.s3_access_key_id and s3_secret_access_key"));
    }
    let corrected = format!("s3://{place}");
    let (bucket, prefix) = parts(&corrected).unwrap_or_default();
    bucket_name(bucket)?;
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
        return Err(Mistake::value(prefix, "is no prefix: parts of letters, digits and . _ - with / between"));
    }
    if text == corrected { Ok(()) } else { Err(Mistake::value(text, "is no address of a bucket").instead(corrected)) }
}

/// By AWS's rules, which every store takes.
fn bucket_name(name: &str) -> Result<(), Mistake> {
    if name.is_empty() {
        return Err(Mistake::plain("names no bucket").hint("write s3://BUCKET"));
    }
    let lower = name.to_ascii_lowercase();
    if name != lower {
        return Err(Mistake::value(name, "has capitals, and a bucket's name has none").instead(format!("s3://{lower}")));
    }
    let edges = [name.as_bytes().first(), name.as_bytes().last()];
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && edges.iter().all(|edge| edge.is_some_and(u8::is_ascii_alphanumeric));
    if fits { Ok(()) } else { Err(Mistake::value(name, "is no bucket's name: 3 to 63 of a-z, 0-9, . and -")) }
}

fn without_password(host: &str) -> &str {
    host.rsplit('@').next().unwrap_or_default()
}
