//! What a request must be.

use axum::http::HeaderValue;
use axum::http::header::HOST;

use super::super::inspect;
use super::*;

#[tokio::test]
async fn the_host_is_there_once_and_well_formed() {
    let server = start(routes(), far());
    for (head, want) in [
        ("GET / HTTP/1.1", "400"),
        ("GET / HTTP/1.0", "200"),
        ("GET / HTTP/1.1\r\nHost: a", "200"),
        ("GET / HTTP/1.1\r\nHost:", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", "400"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b", "400"),
        ("GET / HTTP/1.1\r\nHost: a b", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b", "400"),
        ("GET http://a/ HTTP/1.1\r\nHost: a", "200"),
        ("GET http://a/ HTTP/1.1\r\nHost: b", "400"),
        ("GET http://a/ HTTP/1.1", "400"),
    ] {
        let answer = server.talk(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.get(9..12), Some(want), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn a_refusal_is_rendered_by_the_caller_and_closes() {
    let server = start(routes(), far());
    // Without asking for the close.
    let answer = server.talk("POST /take HTTP/1.1\r\nContent-Length: 9\r\n\r\nunwanted!").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains(r#"{"code":"host_missing","#), "{answer}");
}

#[test]
fn hosts() {
    let status_of = |host: &[u8]| {
        let mut request = Request::new(());
        let host = HeaderValue::from_bytes(host).unwrap();
        request.headers_mut().insert(HOST, host);
        inspect(&request.into_parts().0).map_or(400, |()| 200)
    };
    for good in [
        "cam",
        "cam.example",
        "cam.example:8080",
        "a_b-c.d",
        "10.0.0.1",
        "10.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "cam:",
        "CAM.Example",
        "xn--bcher-kva.example",
        "caf%C3%A9.example",
    ] {
        assert_eq!(status_of(good.as_bytes()), 200, "{good}");
    }
    for bad in [
        &b""[..],
        b":80",
        b"a b",
        b"a\tb",
        b"a/b",
        b"a?b",
        b"a#b",
        b"user@a",
        b"a:b",
        b"a:123456",
        b"a:80:80",
        b"[::1",
        b"::1",
        b"[]",
        b"[cam]",
        b"[::1]x",
        b"a\"b",
        b"a<b",
        b"a\\b",
        b"caf\xc3\xa9",
        b"a,b@c",
        b"{a}",
    ] {
        assert_eq!(status_of(bad), 400, "{}", bad.escape_ascii());
    }
}

#[tokio::test]
async fn a_path_holds_no_nul_and_no_broken_character() {
    let server = start(routes(), far());
    for (path, want) in [
        ("/%00", "404"),
        ("/a%00b", "404"),
        ("/%ff", "404"),
        ("/%c3%28", "404"),
        ("/%ed%a0%80", "404"),
        ("/caf%C3%A9", "200"),
        // Left to the routes, as they came.
        ("/..%2fetc", "200"),
        ("/%2e%2e/etc", "200"),
        ("/%zz", "200"),
        ("/%", "200"),
        ("/%2", "200"),
        ("/?q=%00", "200"),
    ] {
        let answer = server.talk(&GET_AND_CLOSE.replace("GET / ", &format!("GET {path} "))).await;
        assert_eq!(answer.get(9..12), Some(want), "{path}: {answer}");
        let path = path.split('?').next().unwrap();
        assert!(want == "404" || answer.ends_with(path), "{path} was changed: {answer}");
    }
}

#[tokio::test]
async fn a_body_with_two_lengths_is_read_by_its_chunks_and_is_the_last() {
    let server = start(routes(), far());
    for lengths in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let request = format!("POST /take HTTP/1.1\r\nHost: cam\r\n{lengths}\r\n\r\n5\r\n12345\r\n0\r\n\r\n{GET}");
        let answer = server.talk(&request).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("took 5"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn lengths_that_disagree_or_are_no_numbers_are_refused() {
    let server = start(routes(), far());
    for lengths in ["5\r\nContent-Length: 6", "-5", "+5", "", "5, 6", "0x5"] {
        let request = format!("POST /take HTTP/1.1\r\nHost: cam\r\nContent-Length: {lengths}\r\n\r\n12345");
        let answer = server.talk(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{lengths:?}: {answer}");
    }
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let server = start(routes(), far());
    let answer = server.talk(GET_AND_CLOSE).await;
    assert!(answer.ends_with("127.0.0.1 tls=false /"), "{answer}");
}
