//! Options that are refused at start, and what never shows.

use events::{CeleryOptions, Events, WebhookOptions};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::receiver::{Receiver, status};
use crate::support::{SECRET, delivery, events, failed, options, retry};

fn refusal(webhooks: Vec<WebhookOptions>, celery: Option<CeleryOptions>) -> String {
    match Events::new(webhooks, celery) {
        Ok(_) => panic!("not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_webhook_that_cannot_work_is_refused_at_start() {
    let public = |url: &str| WebhookOptions::new("archive", url, vec![SECRET.to_owned()]);
    for (url, word) in [
        ("http://hooks.example/", "https"),
        ("ftp://hooks.example/", "https"),
        ("hooks.example", "https"),
        ("", "not one"),
        ("https://", "not one"),
        ("https:///path", ""),
        ("https://user:password@hooks.example/", "user and password"),
        ("https://hooks.example@127.0.0.1/", "user and password"),
        ("https://hooks.example:99999/", "port"),
        ("https://hooks.example:/", "port"),
        ("https://b\u{fc}cher.example/", "not one"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://169.254.169.254/latest", "link-local"),
    ] {
        let words = refusal(vec![public(url)], None);
        assert!(words.contains(word) && words.contains("archive"), "{url}: {words}");
        assert!(!words.contains("password@") && !words.contains("latest"), "{words}");
    }
    let good = || public("https://hooks.example/");
    let secrets = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    for wrong in [
        WebhookOptions { secrets: Vec::new(), ..good() },
        WebhookOptions { secrets: secrets(&["whsec_c2hvcnQ="]), ..good() },
        WebhookOptions { secrets: secrets(&[SECRET, "plain"]), ..good() },
        WebhookOptions { name: String::new(), ..good() },
        WebhookOptions { name: "Archive 1".to_owned(), ..good() },
        WebhookOptions { name: "celery".to_owned(), ..good() },
        WebhookOptions { in_flight_max: 0, ..good() },
        WebhookOptions { timeout: std::time::Duration::ZERO, ..good() },
        WebhookOptions { ca_certificates_pem: Some(b"no certificate".to_vec()), ..good() },
    ] {
        let words = refusal(vec![wrong], None);
        assert!(!words.contains(SECRET), "{words}");
    }
    assert!(refusal(vec![good(), good()], None).contains("two webhooks"));
}

#[test]
fn a_broker_that_cannot_work_is_refused_at_start() {
    for url in
        ["amqp://guest:hunter2@localhost//", "localhost", "redis://:hunter2@host:port/", "sqs://:hunter2@host/", ""]
    {
        let words = refusal(Vec::new(), Some(CeleryOptions::new(url)));
        assert!(words.contains("broker_url") && !words.contains("hunter2"), "{words}");
    }
    let good = || CeleryOptions::new("redis://localhost/");
    for wrong in [
        CeleryOptions { queue: String::new(), ..good() },
        CeleryOptions { queue: "a\u{6}b".to_owned(), ..good() },
        CeleryOptions { task_name: "x".repeat(256), ..good() },
        CeleryOptions { timeout: std::time::Duration::ZERO, ..good() },
    ] {
        refusal(Vec::new(), Some(wrong));
    }
}

#[tokio::test]
async fn sinks_have_names_and_an_unknown_one_fails() {
    let webhooks =
        vec![options("https://b.example/"), WebhookOptions { name: "a".to_owned(), ..options("https://a.example/") }];
    let events = Events::new(webhooks, Some(CeleryOptions::new("redis://127.0.0.1:1/"))).unwrap();
    assert_eq!(events.sink_names(), ["a", "archive", "celery"]);
    assert!(failed(events.deliver(delivery("gone")).await).contains("gone"));
    let without = Events::new(Vec::new(), None).unwrap();
    assert!(without.sink_names().is_empty());
    failed(without.deliver(delivery("celery")).await);
}

#[tokio::test]
async fn neither_errors_nor_debug_show_what_is_secret() {
    let receiver = Receiver::start(status("500 Oh\r\nx-leak: answered-secret"));
    let url = format!("{}/path-secret?token=query-secret", receiver.url());
    let error = retry(events(options(&url)).deliver(delivery("archive")).await);
    let celery = CeleryOptions::new("redis://user:broker-secret@127.0.0.1:1/");
    let broker = retry(Events::new(Vec::new(), Some(celery.clone())).unwrap().deliver(delivery("celery")).await);
    for shown in [error, broker, format!("{:?}", options(&url)), format!("{celery:?}")] {
        assert!(!shown.contains("-secret") && !shown.contains(SECRET) && !shown.contains("127.0.0.1"), "{shown}");
    }
}

#[tokio::test]
async fn attempts_are_counted_by_sink_and_outcome() {
    let receiver = Receiver::start(status("200 OK"));
    let events = events(options(&receiver.url()));
    let mut registry = Registry::default();
    events.register_metrics(&mut registry);
    events.deliver(delivery("archive")).await;
    events.deliver(delivery("nobody")).await;
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains(r#"event_attempts_total{sink="archive",outcome="delivered"} 1"#), "{text}");
    assert!(text.contains(r#"event_attempt_seconds_count{sink="archive"} 1"#), "{text}");
    assert!(!text.contains("nobody"), "{text}");
}
