//! What a reverse proxy says of the client, believed from trusted proxies alone.

use testkit::Response;
use testkit::server::Server;

use super::attributes;
use crate::support::{builder, server, sign_in_request};

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// A server that believes the proxies of these networks.
fn behind(trusted_proxies: &str) -> Server {
    let builder = builder().env("FILMGATE__SERVER__TRUSTED_PROXIES", trusted_proxies);
    // Few guesses, so that no new one is due while a test still counts them.
    builder.env("FILMGATE__IDENTITY__SIGN_INS_PER_MINUTE_PER_USER", "3").start().unwrap()
}

fn sign_in(server: &Server, password: &str, headers: &[(&str, &str)]) -> Response {
    let request = sign_in_request(&server.demo().participant.username, password);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send(server.address()).unwrap()
}

#[test]
fn the_cookie_is_secure_where_the_browser_came_by_https() {
    let https = ("X-Forwarded-Proto", "https");
    let cases: [(&str, Headers, bool); 6] = [
        ("127.0.0.1", vec![https], true),
        ("127.0.0.1", vec![("X-Forwarded-Proto", "HTTPS")], true),
        ("127.0.0.1", vec![("X-Forwarded-Proto", "http")], false),
        ("127.0.0.1", vec![], false),
        ("10.0.0.0/8", vec![https], false),
        ("", vec![https], false),
    ];
    for (trusted, headers, secure) in &cases {
        let server = if trusted.is_empty() { server() } else { behind(trusted) };
        let response = sign_in(&server, &server.demo().participant.password, headers);
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(attributes(&response).contains("Secure"), *secure, "{trusted:?} {headers:?}");
    }
    let public = builder().env("FILMGATE__SERVER__PUBLIC_URL", "https://photos.example.org").start().unwrap();
    assert!(attributes(&sign_in(&public, &public.demo().participant.password, &[])).contains("Secure"));
    println!("{} proxies", cases.len() + 1);
}

/// Uses up the guesses from the address that these headers say.
fn use_up(server: &Server, headers: &[(&str, &str)]) {
    let refused = (0..50).any(|_| sign_in(server, "a wrong password", headers).status == 429);
    assert!(refused, "fifty guesses were taken");
}

#[test]
fn guesses_are_counted_by_the_address_beyond_the_trusted_proxies() {
    let server = behind("127.0.0.1,10.0.0.0/8");
    use_up(&server, &[("X-Forwarded-For", "203.0.113.5")]);
    let right = server.demo().participant.password.clone();
    let same = [
        vec![("X-Forwarded-For", "203.0.113.5")],
        vec![("X-Forwarded-For", "203.0.113.5, 10.1.2.3")],
        // The client wrote the first one itself; the proxy appended whom it saw.
        vec![("X-Forwarded-For", "198.51.100.77, 203.0.113.5")],
        vec![("X-Forwarded-For", "198.51.100.77"), ("X-Forwarded-For", "203.0.113.5")],
    ];
    for headers in &same {
        assert_eq!(sign_in(&server, &right, headers).status, 429, "{headers:?}");
    }
    let elsewhere = [
        vec![("X-Forwarded-For", "203.0.113.6")],
        vec![("X-Forwarded-For", "203.0.113.5, 198.51.100.1")],
        vec![("X-Forwarded-For", "2001:db8::1")],
        vec![],
    ];
    for headers in &elsewhere {
        assert_eq!(sign_in(&server, &right, headers).status, 200, "{headers:?}");
    }
    println!("{} ways to the same address, {} to others", same.len(), elsewhere.len());
}

#[test]
fn an_untrusted_peer_cannot_pass_for_another() {
    let server = behind("10.0.0.0/8");
    let right = server.demo().participant.password.clone();
    // Each guess from an address of its own, by its own word.
    let guesses = (0..50).map(|number| format!("203.0.113.{number}"));
    let refused =
        guesses.filter(|address| sign_in(&server, "a wrong password", &[("X-Forwarded-For", address)]).status == 429);
    assert!(refused.count() >= 40);
    assert_eq!(sign_in(&server, &right, &[("X-Forwarded-For", "198.51.100.1")]).status, 429);
}

#[test]
fn the_request_id_of_a_trusted_proxy_is_kept() {
    let given = "proxy-made-0123456789";
    let cases = [("127.0.0.1", given, true), ("10.0.0.0/8", given, false), ("127.0.0.1", "too odd: \"}", false)];
    for (trusted, id, kept) in cases {
        let server = behind(trusted);
        let response = sign_in(&server, "a wrong password", &[("X-Request-Id", id)]);
        let answered = response.header("x-request-id").unwrap();
        assert_eq!(answered == id, kept, "{trusted} {id}");
        assert_eq!(response.json()["request_id"], answered);
    }
    println!("{} request ids", cases.len());
}
