//! TLS, HTTP/2 by ALPN, and certificates that change.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::TlsFiles;
use super::*;

pub(super) struct Pair {
    certificate: CertificateDer<'static>,
    key_pem: String,
    certificate_pem: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["cam.example".to_owned()]).unwrap();
    Pair {
        certificate: made.cert.der().clone(),
        key_pem: made.signing_key.serialize_pem(),
        certificate_pem: made.cert.pem(),
    }
}

fn files_in(folder: &Path) -> TlsFiles {
    TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
}

fn write(files: &TlsFiles, pair: &Pair) {
    std::fs::write(&files.certificate, &pair.certificate_pem).unwrap();
    std::fs::write(&files.key, &pair.key_pem).unwrap();
}

fn start_tls(limits: ListenLimits) -> (Server, Tls, Pair, TempDir) {
    start_tls_with(routes(), limits)
}

pub(super) fn start_tls_with(router: Router, limits: ListenLimits) -> (Server, Tls, Pair, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair();
    write(&files_in(folder.path()), &pair);
    let tls = Tls::load(files_in(folder.path())).unwrap();
    let server = start_with(router, limits, Some(tls.clone()));
    (server, tls, pair, folder)
}

pub(super) async fn connect(server: &Server, trusted: &Pair, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("cam.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

#[tokio::test]
async fn http_1_over_tls() {
    let (server, _, pair, _folder) = start_tls(far());
    let mut client = connect(&server, &pair, &[]).await.unwrap();
    client.write_all(GET_AND_CLOSE.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.ends_with("127.0.0.1 tls=true /"), "{answer}");
}

#[tokio::test]
async fn a_refusal_is_seen_through_tls() {
    let (server, _, pair, _folder) = start_tls(far());
    super::refusal::sees_the_refusal(&mut connect(&server, &pair, &[b"http/1.1"]).await.unwrap()).await;
}

/// A frame of HTTP/2: length, kind, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Connection preface, settings, and GET of a path as stream 1.
fn h2_get(path: &str, settings: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, settings));
    // From HPACK's static table: GET, https; then path and authority spelled out.
    let mut head = vec![0x82, 0x87, 0x44, u8::try_from(path.len()).unwrap()];
    head.extend(path.as_bytes());
    head.extend([0x41, 11]);
    head.extend(b"cam.example");
    bytes.extend(frame(1, 0x5, 1, &head));
    bytes
}

/// Reads frames up to one of a kind; gives its payload.
async fn h2_next(client: &mut TlsStream<TcpStream>, wanted: u8) -> io::Result<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).await?;
        if head[3] == wanted {
            return Ok(payload);
        }
    }
}

#[tokio::test]
async fn http_2_by_alpn() {
    let (server, _, pair, _folder) = start_tls(far());
    let mut client = connect(&server, &pair, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    client.write_all(&h2_get("/two", &[])).await.unwrap();
    let head = h2_next(&mut client, 1).await.unwrap();
    assert_eq!(head.first(), Some(&0x88), "not :status 200");
    let body = h2_next(&mut client, 0).await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "127.0.0.1 tls=true /two");
    // A drain tells it to go, and it goes.
    server.stage.send(Stage::Draining).unwrap();
    h2_next(&mut client, 7).await.expect("no GOAWAY");
    drop(client);
    assert_eq!(server.ended().await.cut, 0);
}

#[tokio::test]
async fn an_idle_http_2_connection_ends() {
    let short = Duration::from_millis(200);
    let (server, _, pair, _folder) = start_tls(ListenLimits { header_read_timeout: short, ..far() });
    let mut client = connect(&server, &pair, &[b"h2"]).await.unwrap();
    client.write_all(&h2_get("/", &[])).await.unwrap();
    let told = tokio::time::timeout(HANG, h2_next(&mut client, 7)).await;
    told.expect("kept").expect("no GOAWAY");
    // Nor does one stay that chose HTTP/2 and then says nothing.
    let mut silent = connect(&server, &pair, &[b"h2"]).await.unwrap();
    let ended = tokio::time::timeout(HANG, h2_next(&mut silent, u8::MAX)).await;
    ended.expect("kept").expect_err("a frame of no kind");
}

#[tokio::test]
async fn an_http_2_client_without_a_window_is_closed() {
    let short = Duration::from_millis(200);
    let limits = ListenLimits { write_timeout: short, ..far() };
    let (server, _, pair, _folder) = start_tls(limits);
    let mut client = connect(&server, &pair, &[b"h2"]).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE = 1: one byte of the answer, and no more for ever.
    client.write_all(&h2_get("/slices", &[0, 4, 0, 0, 0, 1])).await.unwrap();
    let ended = tokio::time::timeout(HANG, h2_next(&mut client, 7)).await.expect("kept for ever");
    ended.expect_err("told to go, but not cut");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_closed() {
    let short = Duration::from_millis(200);
    let (server, ..) = start_tls(ListenLimits { handshake_timeout: short, ..far() });
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await.unwrap(), "");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let (server, tls, old, folder) = start_tls(far());
    let files = files_in(folder.path());
    assert!(!tls.reload_if_changed().unwrap(), "nothing changed");

    // Half way: the new certificate with the old key.
    let new = pair();
    std::fs::write(&files.certificate, &new.certificate_pem).unwrap();
    tls.reload_if_changed().expect_err("a pair that does not match was taken");
    connect(&server, &old, &[]).await.expect("the old pair is gone");
    assert!(!tls.reload_if_changed().unwrap(), "the same broken pair is complained of once");

    std::fs::write(&files.key, &new.key_pem).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    connect(&server, &new, &[]).await.expect("the new pair is not used");
    connect(&server, &old, &[]).await.expect_err("the old pair is still used");

    std::fs::write(&files.certificate, "rubbish").unwrap();
    tls.reload_if_changed().expect_err("rubbish was taken");
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(!tls.reload_if_changed().unwrap(), "absent for a moment is no change");
    connect(&server, &new, &[]).await.expect("rubbish was used");
}

#[test]
fn a_pair_that_cannot_be_used_at_start_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = files_in(folder.path());
    let error = Tls::load(files.clone()).expect_err("loaded nothing").to_string();
    assert!(error.contains("cert.pem"), "{error}");
    write(&files, &Pair { key_pem: String::new(), ..pair() });
    let error = Tls::load(files).expect_err("loaded no key").to_string();
    assert!(error.contains("key.pem"), "{error}");
}
