//! This machine's own addresses, in every spelling that some resolver understands: no webhook goes there by default.
//!
//! Spellings of other networks are in `src/webhook/tests.rs`, with a connector that connects to nothing: a mistake in
//! the check shall not send traffic into somebody's network.

use std::sync::atomic::Ordering;

use events::{Events, Outcome, WebhookOptions};

use crate::receiver::{Receiver, status};
use crate::support::{SECRET, delivery, failed};

/// Hosts, without the port.
const SPELLINGS: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.0x1",
    "00000177.0.0.1",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
];

/// Told at start, or at the first delivery, which then fails for good: never by a connection. Says whether the resolver
/// of this machine took the spelling for an address; one that it does not know leads nowhere.
async fn is_refused(url: &str) -> bool {
    let webhook = WebhookOptions::new("archive", url, vec![SECRET.to_owned()]);
    match Events::new(vec![webhook], None) {
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains("leads to") || words.contains("is not one"), "{url}: {words}");
            words.contains("leads to")
        }
        Ok(events) => match events.deliver(delivery("archive")).await {
            Outcome::Failed { error } => {
                assert!(error.contains("leads to"), "{url}: {error}");
                true
            }
            Outcome::Retry { error, .. } => {
                assert!(error.contains("could not be looked up"), "{url}: {error}");
                false
            }
            Outcome::Delivered => panic!("{url} was delivered"),
        },
    }
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_connected_to() {
    let receiver = Receiver::listen("127.0.0.1:0", status("200 OK"));
    let port = receiver.address.port();
    // The same port on IPv6, where this machine has it.
    let on_v6 = std::net::TcpListener::bind(("::1", port)).ok();
    let mut unknown = Vec::new();
    for host in SPELLINGS {
        if !is_refused(&format!("https://{host}:{port}/hooks?token=secret")).await {
            unknown.push(*host);
        }
    }
    // A resolver that knew few of the spellings would leave little tested.
    assert!(SPELLINGS.len() - unknown.len() >= 20, "not taken for addresses: {unknown:?}");
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
    if let Some(listener) = on_v6 {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    }
}

/// The control: with its network allowed, the same receiver is reached.
#[tokio::test]
async fn the_same_spellings_reach_an_allowed_network() {
    let receiver = Receiver::start(status("200 OK"));
    for host in ["localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let webhook = crate::support::options(&format!("http://{host}:{}/", receiver.address.port()));
        let outcome = crate::support::events(webhook).deliver(delivery("archive")).await;
        assert_eq!(outcome, Outcome::Delivered, "{host}");
    }
}

#[tokio::test]
async fn an_allowed_network_opens_no_other() {
    let receiver = Receiver::start(status("200 OK"));
    let webhook = WebhookOptions {
        allow_private_networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..WebhookOptions::new("archive", format!("http://localhost:{}/", receiver.address.port()), vec![SECRET.into()])
    };
    let words = failed(Events::new(vec![webhook], None).unwrap().deliver(delivery("archive")).await);
    assert!(words.contains("a loopback address"), "{words}");
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
}
