//! HTTPS with the operator's own certificate.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};
use testkit::api::upload_request;
use testkit::{Request, Shot, photo};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{builder, filmgate, sign_in_request};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts this certificate and offers these protocols.
fn connect(address: std::net::SocketAddr, trusted: &CertificateDer<'static>, protocols: &[&[u8]]) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("photos.example.org").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Sends over a connection of its own and reads the answer to its end.
fn send(address: std::net::SocketAddr, trusted: &CertificateDer<'static>, request: Request) -> String {
    let mut stream = connect(address, trusted, &[b"http/1.1"]);
    stream.write_all(&request.header("Connection", "close").bytes("photos.example.org")).unwrap();
    let mut answer = Vec::new();
    // To the farewell of TLS: an answer without one might have been cut short by anybody.
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn photos_go_in_and_the_cookie_is_secure() {
    let place = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["photos.example.org".to_owned()]).unwrap();
    let (certificate, key) = (place.path().join("certificate.pem"), place.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = builder()
        .env("FILMGATE__SERVER__TLS_CERTIFICATE_FILE", certificate.to_str().unwrap())
        .env("FILMGATE__SERVER__TLS_KEY_FILE", key.to_str().unwrap())
        .start()
        .unwrap();
    assert!(server.demo().url.starts_with("https://"), "{}", server.demo().url);
    let trusted = made.cert.der();
    let person = &server.demo().participant;

    let signed_in = send(server.address(), trusted, sign_in_request(&person.username, &person.password));
    assert!(signed_in.starts_with("HTTP/1.1 200 "), "{signed_in}");
    assert!(signed_in.contains("; Secure"), "{signed_in}");
    let shots = [Shot::interval(photo::jpeg_bytes(200_000, 1))];
    let upload = upload_request(&person.cookie, &person.session_id, &shots);
    let stored = send(server.address(), trusted, upload.clone().header("Origin", "https://photos.example.org"));
    assert!(stored.contains("Uploaded 1 captures"), "{stored}");
    let refused = send(server.address(), trusted, upload.header("Origin", "http://photos.example.org"));
    assert!(refused.starts_with("HTTP/1.1 403 "), "the page without TLS is another's: {refused}");

    let mut stream = connect(server.address(), trusted, &[b"h2", b"http/1.1"]);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(
        (stream.conn.alpn_protocol(), frame[3]),
        (Some(&b"h2"[..]), 4),
        "HTTP/2, which begins with its settings"
    );

    // Plain HTTP on the same port: an end, and no answer that could be read on the way.
    let mut plain = TcpStream::connect(server.address()).unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_pair_that_cannot_be_used_is_named_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("certificate.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let others_key = file("other.pem", other.signing_key.serialize_pem());
    let empty = file("empty.pem", String::new());
    let cases = [
        (certificate.as_str(), "missing.pem", "missing.pem"),
        (&certificate, &empty, "empty.pem"),
        (&empty, &key, "empty.pem"),
        (&certificate, &others_key, "certificate.pem"),
        (&key, &certificate, "key.pem"),
    ];
    for (certificate, key, named) in cases {
        let data = place.path().join("data");
        let refused = filmgate(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data.to_str().unwrap(),
            "--set",
            &format!("server.tls_certificate_file={certificate}"),
            "--set",
            &format!("server.tls_key_file={key}"),
        ]);
        assert_eq!((refused.status, refused.out.as_str()), (2, ""), "{certificate} {key}");
        assert!(refused.err.contains(named), "{named}: {}", refused.err);
    }
    println!("{} pairs that cannot be used", cases.len());
}
