//! What is sent, and what each answer means.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use events::{Delivery, Outcome, WebhookOptions};

use crate::receiver::{Answer, Receiver, status};
use crate::support::{NOW_UNIX_S, PAYLOAD, SECRET, delivery, events, failed, options, retry};

#[tokio::test]
async fn a_delivery_is_a_signed_post_of_the_payload_as_recorded() {
    let receiver = Receiver::start(status("204 No Content"));
    let delivery = delivery("archive");
    assert_eq!(events(options(&receiver.url())).deliver(delivery.clone()).await, Outcome::Delivered);
    let request = receiver.request();
    assert_eq!(request.line, "POST /hooks/in HTTP/1.1");
    assert_eq!(request.body, PAYLOAD);
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), concat!("Filmgate/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("host"), receiver.address.to_string());
    assert_eq!(header("webhook-id"), delivery.id.to_string());
    assert_eq!(header("webhook-timestamp"), NOW_UNIX_S.to_string());
    assert!(header("webhook-signature").starts_with("v1,"));
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_body_but_its_own_timestamp_and_signature() {
    let receiver = Receiver::start(status("500 Internal Server Error"));
    let events = events(options(&receiver.url()));
    let first = delivery("archive");
    retry(events.deliver(first.clone()).await);
    retry(events.deliver(Delivery { attempt: 2, attempted_at_unix_s: NOW_UNIX_S + 60, ..first }).await);
    let requests = receiver.requests.lock().unwrap();
    let [first, second] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert_eq!(first.body, second.body);
    assert_eq!(second.headers["webhook-timestamp"], (NOW_UNIX_S + 60).to_string());
    assert_ne!(first.headers["webhook-signature"], second.headers["webhook-signature"]);
}

#[tokio::test]
async fn while_secrets_change_both_sign() {
    let receiver = Receiver::start(status("200 OK"));
    let options = WebhookOptions {
        secrets: vec![SECRET.to_owned(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned()],
        ..options(&receiver.url())
    };
    assert_eq!(events(options).deliver(delivery("archive")).await, Outcome::Delivered);
    assert_eq!(receiver.request().headers["webhook-signature"].split(" v1,").count(), 2);
}

#[tokio::test]
async fn each_status_means_what_the_specification_says() {
    for (line, delivered, gone) in [
        ("200 OK", true, false),
        ("201 Created", true, false),
        ("202 Accepted", true, false),
        ("299 Fine", true, false),
        ("300 Multiple Choices", false, false),
        ("304 Not Modified", false, false),
        ("400 Bad Request", false, false),
        ("401 Unauthorized", false, false),
        ("404 Not Found", false, false),
        ("410 Gone", false, true),
        ("413 Payload Too Large", false, false),
        ("429 Too Many Requests", false, false),
        ("500 Internal Server Error", false, false),
        ("503 Service Unavailable", false, false),
        ("504 Gateway Timeout", false, false),
        ("999 Nonsense", false, false),
    ] {
        let receiver = Receiver::start(status(line));
        let outcome = events(options(&receiver.url())).deliver(delivery("archive")).await;
        if delivered {
            assert_eq!(outcome, Outcome::Delivered, "{line}");
            continue;
        }
        let error = if gone { failed(outcome) } else { retry(outcome) };
        assert!(error.starts_with(&format!("webhook archive: answered {}", &line[..3])), "{error}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_where_it_means_something() {
    for (answer, expected_s) in [
        ("429 Too Many Requests\r\nretry-after: 7", Some(7)),
        ("503 Service Unavailable\r\nRetry-After: 120", Some(120)),
        ("503 Service Unavailable\r\nretry-after: Mon, 24 Nov 2025 16:02:00 GMT", Some(120)),
        ("503 Service Unavailable\r\nretry-after: 999999999", Some(86_400)),
        ("503 Service Unavailable\r\nretry-after: soon", None),
        ("503 Service Unavailable", None),
        ("500 Internal Server Error\r\nretry-after: 7", None),
    ] {
        let receiver = Receiver::start(status(answer));
        match events(options(&receiver.url())).deliver(delivery("archive")).await {
            Outcome::Retry { after, .. } => assert_eq!(after.map(|wait| wait.as_secs()), expected_s, "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(status("200 OK"));
    for code in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let receiver = Receiver::start(status(&format!("{code}\r\nlocation: {}", elsewhere.url())));
        let error = retry(events(options(&receiver.url())).deliver(delivery("archive")).await);
        assert!(error.contains("redirects are not followed"), "{error}");
        receiver.request();
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_receiver_that_hangs_or_drips_is_left_at_the_timeout() {
    for answer in [Answer::Silence, Answer::Drip(b"HTTP/1.1 200 OK\r\nx: "), Answer::Drip(b"x")] {
        let receiver = Receiver::start(answer);
        let options = WebhookOptions { timeout: Duration::from_millis(400), ..options(&receiver.url()) };
        let began = Instant::now();
        let error = retry(events(options).deliver(delivery("archive")).await);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(error.contains("no answer within 0.4 s") || error.contains("not HTTP"), "{error}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read() {
    // A body without end, after its status: delivered, and the connection given up.
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let receiver = Receiver::start(Answer::Endless(head.into()));
        let began = Instant::now();
        assert_eq!(events(options(&receiver.url())).deliver(delivery("archive")).await, Outcome::Delivered);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        // What was written sits in the kernel's buffers: a sender that read on would have let gigabytes through.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(receiver.written.load(Ordering::SeqCst) < 16 << 20);
    }
    // A head without end.
    let receiver = Receiver::start(Answer::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec()));
    let error = retry(events(options(&receiver.url())).deliver(delivery("archive")).await);
    assert!(error.contains("head is too large") || error.contains("not HTTP"), "{error}");
    assert!(receiver.written.load(Ordering::SeqCst) < 16 << 20);
}

#[tokio::test]
async fn a_slow_body_after_a_good_status_is_delivered_soon() {
    let receiver = Receiver::start(Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()));
    let began = Instant::now();
    assert_eq!(events(options(&receiver.url())).deliver(delivery("archive")).await, Outcome::Delivered);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_no_http_or_nobody_is_tried_again() {
    for answer in [Answer::HangUp, Answer::Bytes(b"220 mail.example ESMTP\r\n\r\n".to_vec())] {
        let receiver = Receiver::start(answer);
        retry(events(options(&receiver.url())).deliver(delivery("archive")).await);
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = retry(events(options(&format!("http://127.0.0.1:{port}/"))).deliver(delivery("archive")).await);
    assert!(error.contains("connection refused"), "{error}");
    let error = retry(events(options("http://no-such-host.invalid/")).deliver(delivery("archive")).await);
    assert!(error.starts_with("webhook archive: "), "{error}");
}

#[tokio::test]
async fn connections_serve_again() {
    let receiver = Receiver::start(Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()));
    let events = events(options(&receiver.url()));
    for _ in 0..5 {
        assert_eq!(events.deliver(delivery("archive")).await, Outcome::Delivered);
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn attempts_at_once_are_bounded_and_a_hanging_sink_holds_up_no_other() {
    let hanging = Receiver::start(Answer::Silence);
    let good = Receiver::start(status("200 OK"));
    let hang = WebhookOptions { in_flight_max: 2, timeout: Duration::from_secs(2), ..options(&hanging.url()) };
    let fine = WebhookOptions { name: "fine".to_owned(), ..options(&good.url()) };
    let events = Arc::new(events::Events::new(vec![hang, fine], None).unwrap());
    let began = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let events = Arc::clone(&events);
        waiting.push(tokio::spawn(async move { events.deliver(delivery("archive")).await }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(hanging.connections.load(Ordering::SeqCst), 2);
    assert_eq!(events.deliver(delivery("fine")).await, Outcome::Delivered);
    assert!(began.elapsed() < Duration::from_millis(1_900), "{:?}", began.elapsed());
    for attempt in waiting {
        retry(attempt.await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(hanging.connections.load(Ordering::SeqCst) <= 4);
}

#[tokio::test]
async fn close_ends_attempts_under_way() {
    let receiver = Receiver::start(Answer::Silence);
    let events = Arc::new(events(WebhookOptions { timeout: Duration::from_secs(30), ..options(&receiver.url()) }));
    let attempt = tokio::spawn({
        let events = Arc::clone(&events);
        async move { events.deliver(delivery("archive")).await }
    });
    while receiver.requests.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    events.close();
    let outcome = tokio::time::timeout(Duration::from_secs(10), attempt).await.unwrap().unwrap();
    retry(outcome);
}
