//! What a text must look like: addresses, origins, stores, log levels.
//!
//! Owns the rules that look at one value alone. Promises that a value with a password in it is
//! never repeated in a message (see [`Mistake`]). What must hold between two settings stands in
//! `check.rs`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::bucket;
use super::problems::Mistake;
use super::secret::Secret;
use super::suggest;

/// A demand on a value, with the words that messages say it in.
pub(super) struct Rule<T> {
    pub(super) allowed: &'static str,
    pub(super) check: fn(&T) -> Result<(), Vec<Mistake>>,
}

pub(super) const NOT_EMPTY: Rule<PathBuf> = Rule {
    allowed: "the path of a folder",
    check: |path| {
        if path.as_os_str().is_empty() { Err(vec![Mistake::plain("is empty")]) } else { Ok(()) }
    },
};

pub(super) const LISTEN: Rule<String> = Rule {
    allowed: "an address and a port, as \"127.0.0.1:8080\", \"[::1]:8080\" or \"localhost:8080\"",
    check: |text| listen(text).map_err(|mistake| vec![mistake]),
};

pub(super) const PUBLIC_URL: Rule<String> = Rule {
    allowed: "scheme and host, as \"https://photos.example.org\"; or empty",
    check: |text| {
        if text.is_empty() { Ok(()) } else { origin(text).map_err(|mistake| vec![mistake]) }
    },
};

pub(super) const ORIGINS: Rule<Vec<String>> = Rule {
    allowed: "origins as browsers send them, as [\"https://clinic.example.org\"]",
    check: |list| all(list, origin).map(|_| ()),
};

pub(super) const RECORDS_URL: Rule<Secret> = Rule {
    allowed: "\"sqlite:PATH\", or \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"; or empty for catalog.sqlite in the data folder",
    check: |secret| {
        let text = secret.expose();
        let checked = if records::PostgresOptions::is_url(text) {
            // What it says of a part names no value.
            records::PostgresOptions::check_url(text).map_err(Mistake::plain)
        } else {
            store(text, "sqlite", &[]).map_err(Mistake::unquoted)
        };
        checked.map_err(|mistake| vec![mistake])
    },
};

pub(super) const BLOBS_URL: Rule<String> = Rule {
    allowed: "\"file:PATH\", \"s3://BUCKET\" or \"s3://BUCKET/PREFIX\"; or empty for blobs in the data folder",
    check: |text| bucket::blobs_url(text).map_err(|mistake| vec![mistake]),
};

pub(super) const S3_ENDPOINT: Rule<String> = Rule {
    allowed: "scheme, host and port, as \"http://127.0.0.1:3900\"; or empty for AWS",
    check: |text| {
        if text.is_empty() { Ok(()) } else { origin(text).map_err(|mistake| vec![mistake]) }
    },
};

pub(super) const S3_REGION: Rule<String> = Rule {
    allowed: "the name of a region, as \"us-east-1\" or \"garage\"",
    check: |text| word(text, "-").map_err(|mistake| vec![mistake]),
};

pub(super) const S3_KEY: Rule<Secret> = Rule {
    allowed: "a key as the store gave it, without spaces; or empty",
    check: |secret| {
        if secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(vec![Mistake::plain("holds spaces or characters that no key has").hint("copy it once more")])
        }
    },
};

pub(super) const REDIS_URL: Rule<Secret> = Rule {
    allowed: "\"redis://HOST:PORT/DB\", \"rediss://…\" with TLS, with user:password@ before the host where needed; or empty",
    check: |secret| {
        let text = secret.expose();
        let rest = text.strip_prefix("redis://").or_else(|| text.strip_prefix("rediss://"));
        let unix = ["unix:", "redis+unix:", "redis+socket:"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match rest.or(unix) {
            _ if text.is_empty() => Ok(()),
            Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
            _ => Err(vec![
                Mistake::plain("is no address of a Redis server").hint("one on this machine: redis://127.0.0.1:6379/0"),
            ]),
        }
    },
};

pub(super) const KEY_PREFIX: Rule<String> = Rule {
    allowed: "a word of letters, digits and any of . : _ -",
    check: |text| word(text, ".:_-").map_err(|mistake| vec![mistake]),
};

pub(super) const TASK_NAME: Rule<String> = Rule {
    allowed: "the name of a Celery task, as \"app.tasks.capture_event\"",
    check: |text| word(text, "._").map_err(|mistake| vec![mistake]),
};

pub(super) const FORMATS: Rule<Vec<String>> = Rule {
    allowed: "\"jpeg\", \"webp\" or both, as [\"jpeg\", \"webp\"]",
    check: |list| {
        if list.is_empty() {
            return Err(vec![Mistake::plain("names no format")]);
        }
        all(list, |text| one_of(text, &["jpeg", "webp"])).map(|_| ())
    },
};

pub(super) const EVENTS: Rule<Vec<String>> = Rule {
    allowed: "any of \"capture.stored\", \"capture.processed\", \"capture.failed\", \"capture.deleted\"",
    check: |list| {
        let kinds = records::EventKind::ALL.map(records::EventKind::as_str);
        let mistakes: Vec<Mistake> = list
            .iter()
            .enumerate()
            .filter_map(|(index, text)| one_of(text, &kinds).err().map(|mistake| mistake.at_item(index)))
            .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    },
};

pub(super) const WEBHOOK_URL: Rule<Secret> = Rule {
    allowed: "\"https://HOST/PATH\"; or empty",
    check: |secret| {
        let text = secret.expose();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match rest {
            _ if text.is_empty() => Ok(()),
            Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
            _ => Err(vec![Mistake::plain("is no address of a web server")]),
        }
    },
};

pub(super) const WEBHOOK_SECRET: Rule<Secret> = Rule {
    allowed: "\"whsec_\" and 24 to 64 bytes in base64, several with a space between; or empty",
    check: |secret| {
        let is_key = |text: &str| text.strip_prefix("whsec_").is_some_and(|key| (32..=88).contains(&key.len()));
        if secret.expose().split_whitespace().all(is_key) {
            Ok(())
        } else {
            Err(vec![
                Mistake::plain("is no key of a webhook")
                    .hint("make one: echo whsec_$(head -c 32 /dev/urandom | base64 -w0)"),
            ])
        }
    },
};

pub(super) const FLASK_KEYS: Rule<Vec<Secret>> = Rule {
    allowed: "the app's SECRET_KEY, then its SECRET_KEY_FALLBACKS, each a text or \"base64:…\"",
    check: |list| {
        let checked = list.iter().map(|secret| identity::check_key(secret.expose())).enumerate();
        let mistakes: Vec<Mistake> = checked
            .filter_map(|(index, checked)| checked.err().map(|why| (index, why)))
            .map(|(index, why)| {
                Mistake::plain(why).hint("copy it as the app has it; nobody can sign with another").at_item(index)
            })
            .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    },
};

pub(super) const COOKIE_NAME: Rule<String> = Rule {
    allowed: "the name of a cookie, as \"session\"",
    check: |text| cookie_name(text).map_err(|mistake| vec![mistake]),
};

pub(super) const COOKIE_NAME_OR_NONE: Rule<String> = Rule {
    allowed: "the name of a cookie, as \"remember_token\"; or empty",
    check: |text| if text.is_empty() { Ok(()) } else { cookie_name(text).map_err(|mistake| vec![mistake]) },
};

pub(super) const COOKIE_NAMES: Rule<Vec<String>> =
    Rule { allowed: "names of cookies, as [\"sessionid\"]", check: |list| all(list, cookie_name).map(|_| ()) };

pub(super) const HEADERS: Rule<Vec<String>> = Rule {
    allowed: "names of headers, as [\"X-Auth-Request-User\"]",
    check: |list| all(list, header_name).map(|_| ()),
};

pub(super) const HEADER_OR_NONE: Rule<String> = Rule {
    allowed: "the name of a header; or empty",
    check: |text| if text.is_empty() { Ok(()) } else { header_name(text).map_err(|mistake| vec![mistake]) },
};

pub(super) const CLAIM: Rule<String> = Rule {
    allowed: "the name of a claim, or a JSON pointer to it",
    check: |text| if text.is_empty() { Err(vec![Mistake::plain("is empty")]) } else { Ok(()) },
};

pub(super) const APP_URL: Rule<Secret> = Rule {
    allowed: "\"https://HOST/PATH\", or http:// on this machine or a private network; or empty",
    check: |secret| {
        let text = secret.expose();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match rest {
            _ if text.is_empty() => Ok(()),
            Some(_)
                if text.parse::<axum::http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty())) =>
            {
                Ok(())
            }
            _ => Err(vec![Mistake::plain("is no address of a web server")]),
        }
    },
};

pub(super) const JWT_SECRET: Rule<Secret> = Rule {
    allowed: "32 bytes or more, as the issuer has it; or empty",
    check: |secret| {
        if secret.is_empty() || secret.expose().len() >= identity::SECRET_BYTES_MIN {
            return Ok(());
        }
        Err(vec![
            Mistake::plain("is shorter than 32 bytes, and could be guessed from one token")
                .hint("make one for both sides: head -c 32 /dev/urandom | base64 -w0"),
        ])
    },
};

pub(super) const SALT: Rule<String> = Rule {
    allowed: "the salt of the app's session interface; Flask's own is \"cookie-session\"",
    check: |text| if text.is_empty() { Err(vec![Mistake::plain("is empty")]) } else { Ok(()) },
};

pub(super) const HOST_LATER: Rule<Secret> = Rule {
    allowed: "nothing: leave it empty",
    check: |secret| empty(secret, "reading a host's database is not in this version yet"),
};

pub(super) const LOG_LEVEL: Rule<String> = Rule {
    allowed: "error, warn, info, debug, trace or off; by module as \"info,filmgate=debug\"",
    check: |text| log_level(text).map_err(|mistake| vec![mistake]),
};

/// Every item through `check`; all mistakes, each with its place in the list.
pub(super) fn all<T>(items: &[String], check: fn(&str) -> Result<T, Mistake>) -> Result<Vec<T>, Vec<Mistake>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match check(item) {
            Ok(value) => good.push(value),
            Err(mistake) => bad.push(mistake.at_item(index)),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

/// An address, or a network without stray bits: `10.0.0.1/8` may mean either of two things, one of
/// which trusts sixteen million machines.
pub(super) fn network(text: &str) -> Result<IpNet, Mistake> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(Mistake::value(text, "is neither an address nor a network"));
    };
    if network == network.trunc() {
        return Ok(network);
    }
    let hint = format!("write {} for the network, or {} for the one address", network.trunc(), network.addr());
    Err(Mistake::value(text, "has bits beyond its prefix").hint(hint))
}

fn listen(text: &str) -> Result<(), Mistake> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    if text.parse::<u16>().is_ok() {
        return Err(Mistake::value(text, "is a port without an address").instead(format!("127.0.0.1:{text}")));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let hint = SocketAddr::new(address, 8080).to_string();
        return Err(Mistake::value(text, "is an address without a port").instead(hint));
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:"))
        && port.parse::<u16>().is_ok()
    {
        return Err(Mistake::value(text, "has no address").instead(format!("0.0.0.0:{port}")));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if is_host_name(host) && port.parse::<u16>().is_ok() => Ok(()),
        Some((host, _)) if is_host_name(host) => Err(Mistake::value(text, "has no port from 0 to 65535")),
        _ => Err(Mistake::value(text, "is not an address and a port")),
    }
}

fn one_of(text: &str, choices: &[&str]) -> Result<(), Mistake> {
    if choices.contains(&text) {
        return Ok(());
    }
    let mistake = Mistake::value(text, "is none of them");
    Err(match suggest::nearest(text, choices) {
        Some(near) => mistake.instead(near),
        None => mistake,
    })
}

fn word(text: &str, more: &str) -> Result<(), Mistake> {
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if !text.is_empty() && text.len() <= 200 && text.chars().all(fits) {
        return Ok(());
    }
    Err(Mistake::value(text, "is not such a word"))
}

fn header_name(text: &str) -> Result<(), Mistake> {
    let is_name = axum::http::HeaderName::from_bytes(text.as_bytes()).is_ok();
    if is_name { Ok(()) } else { Err(Mistake::value(text, "is no header's name")) }
}

fn cookie_name(text: &str) -> Result<(), Mistake> {
    if text == identity::COOKIE {
        return Err(Mistake::value(text, "is Filmgate's own cookie, which no app makes"));
    }
    // A token, as RFC 6265 says.
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) { Ok(()) } else { Err(Mistake::value(text, "is no cookie's name")) }
}

/// Exactly as a browser writes it, because it is compared with what browsers send.
fn origin(text: &str) -> Result<(), Mistake> {
    let bad = |what: &str| Mistake::value(text, what);
    if text == "*" {
        return Err(bad("would let every page on the web act for your users").hint("name each origin"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let guess = format!("https://{}", text.trim_end_matches('/'));
        let mistake = bad("has no scheme");
        return Err(if origin(&guess).is_ok() { mistake.instead(guess) } else { mistake });
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("is neither http:// nor https://"));
    }
    if rest.contains('@') {
        return Err(Mistake::plain("holds a user name or a password").hint("leave them out"));
    }
    let (host_port, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = split_port(host_port);
    if !is_host(host) {
        return Err(bad("has no valid host name (international names in their xn-- form)"));
    }
    if port.is_some_and(|port| port.starts_with('0') || port.parse::<u16>().is_err()) {
        return Err(bad("has no port from 1 to 65535"));
    }
    let scheme = scheme.to_ascii_lowercase();
    let port = port.filter(|port| (scheme.as_str(), *port) != ("http", "80"));
    let port = port.filter(|port| (scheme.as_str(), *port) != ("https", "443"));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let canonical = format!("{scheme}://{}{port}", host.to_ascii_lowercase());
    if text == canonical {
        return Ok(());
    }
    let what = if path.is_empty() { "is not how browsers write it" } else { "goes on after the host" };
    Err(bad(what).instead(canonical))
}

/// `[::1]:80` and `host:80` in two; the port is none without its colon.
fn split_port(host_port: &str) -> (&str, Option<&str>) {
    let after_bracket = host_port.rfind(']').map_or(0, |at| at + 1);
    match host_port[after_bracket..].rfind(':') {
        Some(at) => (&host_port[..after_bracket + at], Some(&host_port[after_bracket + at + 1..])),
        None => (host_port, None),
    }
}

fn is_host(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.map_or_else(|| is_host_name(host), |inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            let edges = [label.as_bytes().first(), label.as_bytes().last()];
            label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && edges.iter().all(|edge| edge.is_some_and(|b| *b != b'-'))
        })
}

/// `scheme:PATH` or empty. The path is taken as it is written.
pub(super) fn store(text: &str, scheme: &str, later: &[&str]) -> Result<(), Mistake> {
    if text.is_empty() {
        return Ok(());
    }
    let Some((given, path)) = text.split_once(':') else {
        return Err(Mistake::value(text, format!("does not begin with {scheme}:")).instead(format!("{scheme}:{text}")));
    };
    if later.contains(&given) {
        return Err(Mistake::value(format!("{given}:"), "is not in this version yet"));
    }
    if given != scheme {
        return Err(Mistake::value(format!("{given}:"), "is no kind of store that Filmgate knows"));
    }
    let path_start = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with("//") && !path_start.starts_with('/') {
        let hint = format!("write {scheme}:relative/path or {scheme}:/absolute/path");
        return Err(Mistake::value(text, "names a machine, not a path").hint(hint));
    }
    if path_start.is_empty() || path_start.ends_with(":memory:") || path.contains('\0') {
        return Err(Mistake::value(text, "names no file or folder"));
    }
    if path.contains('?') {
        return Err(Mistake::value(text, "has options after a question mark; there are none"));
    }
    Ok(())
}

fn empty(secret: &Secret, why: &str) -> Result<(), Vec<Mistake>> {
    if secret.is_empty() {
        return Ok(());
    }
    Err(vec![Mistake::plain(why).hint("remove it, or leave it empty")])
}

/// A lone misspelt level is a valid filter, for a module of that name: it would log nothing.
fn log_level(text: &str) -> Result<(), Mistake> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    if text.trim().is_empty() {
        return Err(Mistake::plain("is empty").instead("info"));
    }
    for part in text.split(',').map(|part| part.trim().to_ascii_lowercase()) {
        if !LEVELS.contains(&part.as_str())
            && let Some(level) = suggest::nearest(&part, &LEVELS)
        {
            return Err(Mistake::value(part, "is no level").hint(format!("did you mean {level}?")));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Mistake::value(text, format!("is no log filter: {error}"))),
    }
}
