//! What needs another name server: answers that change, and answers of several addresses.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use ureq::config::Config;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{ConnectionDetails, NextTimeout, Transport};

use super::*;

/// Answers the first question with the first list, and so on; the last list for ever.
#[derive(Debug)]
struct Answers(Mutex<Vec<Vec<SocketAddr>>>);

impl Answers {
    fn new(lists: &[&[&str]]) -> Self {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Self(Mutex::new(lists.iter().map(parse).collect()))
    }
}

impl Resolver for Answers {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut lists = self.0.lock().unwrap();
        let list = if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() };
        let mut answer = self.empty();
        for address in list {
            answer.push(address);
        }
        Ok(answer)
    }
}

/// Writes down what it shall connect to, and does not.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<Vec<SocketAddr>>>);

impl Connector for Asked {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        self.0.lock().unwrap().extend(details.addrs.iter());
        Err(Error::ConnectionFailed)
    }
}

fn options(url: &str, allowed: &[&str]) -> WebhookOptions {
    WebhookOptions {
        allow_private_networks: allowed.iter().map(|text| text.parse().unwrap()).collect(),
        ..WebhookOptions::new("archive", url, vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()])
    }
}

async fn send(webhook: &Webhook) -> Outcome {
    let payload = "{}".to_owned();
    let sink = "archive".to_owned();
    webhook.send(Delivery { id: uuid::Uuid::now_v7(), sink, attempt: 1, attempted_at_unix_s: 1, payload }).await
}

#[tokio::test]
async fn a_name_that_turns_private_is_never_connected_to() {
    let asked = Asked::default();
    let answers = Answers::new(&[&["8.8.8.8:443"], &["127.0.0.1:443"], &["8.8.8.8:443"], &["169.254.169.254:443"]]);
    let webhook = Webhook::with_parts(&options("https://hooks.example/", &[]), asked.clone(), answers).unwrap();
    for connects in [true, false, true, false, false] {
        let outcome = send(&webhook).await;
        assert_eq!(matches!(outcome, Outcome::Retry { .. }), connects, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Failed { .. }), !connects, "{outcome:?}");
    }
    let public: SocketAddr = "8.8.8.8:443".parse().unwrap();
    assert_eq!(*asked.0.lock().unwrap(), vec![public; 2]);
}

#[tokio::test]
async fn of_several_addresses_only_the_checked_ones_reach_the_connector() {
    let asked = Asked::default();
    let answers =
        Answers::new(&[&["127.0.0.1:443", "8.8.8.8:443", "[::1]:443", "[2606:4700::1111]:443", "10.0.0.1:443"]]);
    let webhook = Webhook::with_parts(&options("https://hooks.example/", &[]), asked.clone(), answers).unwrap();
    assert!(matches!(send(&webhook).await, Outcome::Retry { .. }));
    let expected: Vec<SocketAddr> = ["8.8.8.8:443", "[2606:4700::1111]:443"].map(|text| text.parse().unwrap()).into();
    assert_eq!(*asked.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn plain_http_to_a_public_address_is_never_connected_to() {
    let asked = Asked::default();
    let answers = Answers::new(&[&["8.8.8.8:80"]]);
    let webhook =
        Webhook::with_parts(&options("http://hooks.example/", &["10.0.0.0/8"]), asked.clone(), answers).unwrap();
    assert!(matches!(send(&webhook).await, Outcome::Failed { error } if error.contains("http://")));
    assert!(asked.0.lock().unwrap().is_empty());
}

/// With the real connector: of two machines under one name, the one that is not allowed hears nothing.
#[tokio::test]
async fn the_real_connector_connects_to_the_checked_address() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = refused.local_addr().unwrap().port();
    let allowed = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let receiver = thread::spawn(move || {
        let (mut socket, _) = allowed.accept().unwrap();
        let mut request = [0; 4096];
        let length = socket.read(&mut request).unwrap();
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let answers = Answers::new(&[&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")]]);
    let url = format!("http://hooks.example:{port}/in");
    let webhook = Webhook::with_parts(&options(&url, &["127.0.0.2/32"]), DefaultConnector::default(), answers).unwrap();
    assert_eq!(send(&webhook).await, Outcome::Delivered);
    let request = receiver.join().unwrap();
    assert!(request.to_lowercase().contains(&format!("host: hooks.example:{port}")), "{request}");
    refused.set_nonblocking(true).unwrap();
    assert!(refused.accept().is_err(), "the refused address was connected to");
}

/// Hosts of other networks as the system's resolver takes them. Those of this machine are in `tests/deliver/refused.rs`,
/// where a real listener would hear.
const SPELLINGS: &[&str] = &[
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "10.0.0.1",
    "10.1",
    "167772161",
    "0xa000001",
    "172.16.0.1",
    "192.168.0.1",
    "192.168.1",
    "0300.0250.0.1",
    "3232235521",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "4294967295",
];

#[tokio::test]
async fn no_spelling_of_a_private_address_reaches_the_connector() {
    let asked = Asked::default();
    let mut unknown = Vec::new();
    for host in SPELLINGS {
        let url = format!("https://{host}/hooks?token=secret");
        match Webhook::with_parts(&options(&url, &[]), asked.clone(), DefaultResolver::default()) {
            Err(error) => assert!(error.problem.contains("leads to"), "{url}: {error}"),
            Ok(webhook) => match send(&webhook).await {
                Outcome::Failed { error } => assert!(error.contains("leads to"), "{url}: {error}"),
                Outcome::Retry { error, .. } if error.contains("could not be looked up") => unknown.push(*host),
                other => panic!("{url}: {other:?}"),
            },
        }
    }
    assert!(asked.0.lock().unwrap().is_empty());
    // A resolver that knew few of the spellings would leave little tested.
    assert!(SPELLINGS.len() - unknown.len() >= 25, "not taken for addresses: {unknown:?}");
}
