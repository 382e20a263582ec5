//! TLS to a webhook and to a broker in the house, by certificates of our own.

use std::sync::Arc;

use events::{CeleryOptions, Events, Outcome, WebhookOptions};
use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::broker::{Broker, free_port};
use crate::support::{delivery, events, options, retry};

/// A receiver with TLS for `name`, and its certificate.
async fn receiver(name: &str) -> (u16, Vec<u8>) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let name = socket.get_ref().1.server_name().map(str::to_owned);
            assert_eq!(name.as_deref(), Some("localhost"));
            assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            socket.shutdown().await.ok();
        }
    });
    (port, cert.pem().into_bytes())
}

#[tokio::test]
async fn a_webhook_with_a_certificate_of_the_house() {
    let (port, pem) = receiver("localhost").await;
    let url = format!("https://localhost:{port}/");
    let trusting = WebhookOptions { ca_certificates_pem: Some(pem), ..options(&url) };
    assert_eq!(events(trusting).deliver(delivery("archive")).await, Outcome::Delivered);
    let error = retry(events(options(&url)).deliver(delivery("archive")).await);
    assert!(error.contains("TLS failed"), "{error}");
    // Trusted, but for another name.
    let (port, pem) = receiver("other.example").await;
    let other = WebhookOptions { ca_certificates_pem: Some(pem), ..options(&format!("https://localhost:{port}/")) };
    let error = retry(events(other).deliver(delivery("archive")).await);
    assert!(error.contains("TLS failed"), "{error}");
}

#[tokio::test]
async fn a_broker_with_tls() {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (write("certificate.pem", cert.pem()), write("key.pem", signing_key.serialize_pem()));
    let port = free_port().to_string();
    let broker = Broker::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://localhost:{port}/");
    let to = |pem: Option<String>| {
        let options =
            CeleryOptions { ca_certificates_pem: pem.map(String::into_bytes), ..CeleryOptions::new(url.clone()) };
        Events::new(Vec::new(), Some(options)).unwrap()
    };
    assert_eq!(to(Some(cert.pem())).deliver(delivery("celery")).await, Outcome::Delivered);
    retry(to(None).deliver(delivery("celery")).await);
    assert_eq!(broker.ask::<u64>(&["LLEN", "celery"]), 1);
}
