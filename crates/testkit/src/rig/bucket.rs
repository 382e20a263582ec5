//! An S3 store seen from outside: its objects listed, read, written and deleted, with requests signed by hand.
//!
//! The server's own client is not asked: what it believes it stored is what is to be judged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::api::sha256;
use crate::http::{Request, Response};

/// A bucket, and the key that opens it.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub address: SocketAddr,
    pub region: String,
    pub name: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl Bucket {
    /// An object's bytes; `None` where there is none.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let response = self.send("GET", key, &[], None)?;
        match response.status {
            200 => Ok(Some(response.body)),
            404 => Ok(None),
            status => anyhow::bail!("GET {key}: status {status}: {}", response.text()),
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let response = self.send("PUT", key, &[], Some(bytes))?;
        ensure!(response.status == 200, "PUT {key}: status {}: {}", response.status, response.text());
        Ok(())
    }

    pub fn delete(&self, key: &str) -> Result<()> {
        let response = self.send("DELETE", key, &[], None)?;
        ensure!(response.status == 204, "DELETE {key}: status {}: {}", response.status, response.text());
        Ok(())
    }

    /// Every object whose key begins so, with its size.
    pub fn list(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        let mut after = String::new();
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            if !after.is_empty() {
                query.push(("start-after", &after));
            }
            let response = self.send("GET", "", &query, None)?;
            ensure!(response.status == 200, "list {prefix}: status {}: {}", response.status, response.text());
            let text = response.text();
            for entry in text.split("<Contents>").skip(1) {
                let key = between(entry, "Key").context("an entry without Key")?;
                let size =
                    between(entry, "Size").and_then(|size| size.parse().ok()).context("an entry without Size")?;
                found.insert(unescaped(key), size);
            }
            if between(&text, "IsTruncated") != Some("true") {
                return Ok(found);
            }
            after = found.last_key_value().map(|(key, _)| key.clone()).context("a page with nothing and more")?;
        }
    }

    /// Signed by AWS's version 4, as the service `s3` wants it.
    fn send(&self, method: &str, key: &str, query: &[(&str, &str)], body: Option<&[u8]>) -> Result<Response> {
        let (date, time) = now()?;
        let path = format!("/{}/{}", self.name, key.split('/').map(encoded).collect::<Vec<_>>().join("/"));
        let path = if key.is_empty() { format!("/{}", self.name) } else { path };
        let mut pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.sort();
        let query = pairs.join("&");
        let digest = sha256(body.unwrap_or_default());
        let host = self.address.to_string();
        let headers = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n\n{headers}\n\
             {digest}"
        );
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let mut secret = format!("AWS4{}", self.secret_access_key).into_bytes();
        for part in [date.as_str(), &self.region, "s3", "aws4_request"] {
            secret = signature(&secret, part)?;
        }
        let signed = hex::encode(signature(&secret, &to_sign)?);
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut request = Request::new(method, &target)
            .header("Host", &host)
            .header("Connection", "close")
            .header("x-amz-content-sha256", &digest)
            .header("x-amz-date", &time)
            .header(
                "Authorization",
                &format!(
                    "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={headers}, Signature={signed}",
                    self.access_key_id
                ),
            );
        if let Some(bytes) = body {
            request = request.body("application/octet-stream", bytes.to_vec());
        }
        request.send(self.address).with_context(|| format!("{method} {target}"))
    }
}

fn signature(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).context("a key of any length will do")?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// All but what a URL may hold as it is.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn between<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    text.split_once(&format!("<{tag}>"))?.1.split_once(&format!("</{tag}>")).map(|(inner, _)| inner)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

/// Today and now in UTC, as `20261123` and `20261123T142705Z`.
fn now() -> Result<(String, String)> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(written(seconds))
}

fn written(seconds: u64) -> (String, String) {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let time = format!("{date}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60);
    (date, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_they_are_signed() {
        for (seconds, want) in
            [(0, "19700101T000000Z"), (951_827_696, "20000229T123456Z"), (1_798_761_599, "20261231T235959Z")]
        {
            assert_eq!(written(seconds).1, want);
        }
    }

    #[test]
    fn a_page_of_a_list_is_read() {
        assert_eq!(between("<Key>a&amp;b</Key>", "Key").map(unescaped).as_deref(), Some("a&b"));
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }
}
