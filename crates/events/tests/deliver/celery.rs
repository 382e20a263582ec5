//! Events as Celery tasks, in a real redis-server.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use events::{CeleryOptions, Delivery, Events, Outcome};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::broker::{Broker, free_port};
use crate::support::{PAYLOAD, delivery, failed, retry};

fn events(options: CeleryOptions) -> Events {
    Events::new(Vec::new(), Some(options)).unwrap()
}

fn messages(broker: &Broker, key: &str) -> Vec<Value> {
    let texts: Vec<String> = broker.ask(&["LRANGE", key, "0", "-1"]);
    // Pushed on the left, popped on the right: the oldest is the last.
    texts.iter().rev().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[tokio::test]
async fn a_delivery_is_one_message_of_protocol_2() {
    let broker = Broker::start(&[]);
    let delivery = delivery("celery");
    assert_eq!(events(CeleryOptions::new(broker.url())).deliver(delivery.clone()).await, Outcome::Delivered);

    assert_eq!(broker.ask::<Vec<String>>(&["KEYS", "*"]), ["celery"], "no binding is needed, and nothing else is left");
    let [mut message] = messages(&broker, "celery").try_into().unwrap();
    let tag: uuid::Uuid = message["properties"]["delivery_tag"].take().as_str().unwrap().parse().unwrap();
    assert_ne!(tag, delivery.id);
    let body = BASE64.decode(message["body"].take().as_str().unwrap()).unwrap();
    // The payload's own text stands in it: 4.50 is not made 4.5.
    assert!(String::from_utf8_lossy(&body).contains(PAYLOAD));
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!([
            [],
            { "event": serde_json::from_str::<Value>(PAYLOAD).unwrap() },
            { "callbacks": null, "errbacks": null, "chain": null, "chord": null },
        ])
    );
    assert!(!message.to_string().contains("capture.stored"), "only the body holds the event");
    assert_eq!(
        message,
        json!({
            "body": null,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py", "task": "filmgate.capture_event", "id": delivery.id, "shadow": null, "eta": null,
                "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null],
                "root_id": delivery.id, "parent_id": null, "argsrepr": "()", "kwargsrepr": "{'event': ...}",
                "origin": "filmgate", "ignore_result": null, "replaced_task_nesting": 0, "stamped_headers": null,
                "stamps": {},
            },
            "properties": {
                "correlation_id": delivery.id, "reply_to": "", "delivery_mode": 2,
                "delivery_info": { "exchange": "", "routing_key": "celery" }, "priority": 0,
                "body_encoding": "base64", "delivery_tag": null,
            },
        })
    );
}

#[tokio::test]
async fn deliveries_queue_in_order_and_a_repetition_has_the_same_task_id() {
    let broker = Broker::start(&[]);
    let options = CeleryOptions {
        queue: "photos".to_owned(),
        task_name: "app.on_photo".to_owned(),
        key_prefix: "tenant:".to_owned(),
        ..CeleryOptions::new(broker.url())
    };
    let events = events(options);
    let mut registry = Registry::default();
    events.register_metrics(&mut registry);
    let first = delivery("celery");
    let second = Delivery { attempt: 2, ..first.clone() };
    for delivery in [first.clone(), delivery("celery"), second] {
        assert_eq!(events.deliver(delivery).await, Outcome::Delivered);
    }
    let messages = messages(&broker, "tenant:photos");
    let of = |index: usize, group: &str, member: &str| messages[index][group][member].clone();
    assert_eq!(messages.len(), 3);
    assert_eq!(of(0, "headers", "id"), json!(first.id));
    assert_eq!(of(2, "headers", "id"), json!(first.id));
    assert_ne!(of(1, "headers", "id"), json!(first.id));
    assert_ne!(of(0, "properties", "delivery_tag"), of(2, "properties", "delivery_tag"));
    assert_eq!(of(0, "headers", "task"), json!("app.on_photo"));
    assert_eq!(of(0, "properties", "delivery_info"), json!({ "exchange": "", "routing_key": "photos" }));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("celery_queue_length 3"), "{text}");
}

#[tokio::test]
async fn passwords_databases_and_sockets() {
    let broker = Broker::start(&["--requirepass", "correct-horse"]);
    let socket = broker.socket();
    for (url, database) in [
        (format!("redis://:correct-horse@127.0.0.1:{}/0", broker.port), "0"),
        (format!("redis://default:correct-horse@127.0.0.1:{}/3", broker.port), "3"),
        (format!("redis+socket://{}?virtual_host=5&pass=correct-horse", socket.display()), "5"),
        (format!("redis+unix://{}?db=6&pass=correct-horse", socket.display()), "6"),
        (format!("unix:{}?db=7&pass=correct-horse", socket.display()), "7"),
    ] {
        assert_eq!(events(CeleryOptions::new(&url)).deliver(delivery("celery")).await, Outcome::Delivered, "{url}");
        let keys: String = broker.ask(&["INFO", "keyspace"]);
        assert!(keys.contains(&format!("db{database}:keys=1")), "{url}: {keys}");
    }
    for url in [broker.url(), format!("redis://:battery-staple@127.0.0.1:{}/", broker.port)] {
        let error = retry(events(CeleryOptions::new(url)).deliver(delivery("celery")).await);
        assert!(error.starts_with("celery: the broker did not take the task: "), "{error}");
        assert!(!error.contains("battery"), "{error}");
    }
}

#[tokio::test]
async fn a_user_who_may_do_nothing_else() {
    let broker = Broker::start(&[]);
    let rights = ["on", ">correct-horse", "resetkeys", "~celery", "resetchannels", "-@all", "+lpush"];
    broker.ask::<String>(&[&["ACL", "SETUSER", "filmgate"], &rights[..]].concat());
    let url = format!("redis://filmgate:correct-horse@127.0.0.1:{}/", broker.port);
    assert_eq!(events(CeleryOptions::new(&url)).deliver(delivery("celery")).await, Outcome::Delivered);
    let other = CeleryOptions { queue: "other".to_owned(), ..CeleryOptions::new(&url) };
    assert!(retry(events(other).deliver(delivery("celery")).await).contains("NOPERM"));
}

#[tokio::test]
async fn a_broker_that_went_away_and_came_back() {
    let mut broker = Broker::start(&[]);
    let events = events(CeleryOptions::new(broker.url()));
    assert_eq!(events.deliver(delivery("celery")).await, Outcome::Delivered);
    for _ in 0..3 {
        broker.stop();
        for _ in 0..3 {
            retry(events.deliver(delivery("celery")).await);
        }
        broker.restart();
        assert_eq!(events.deliver(delivery("celery")).await, Outcome::Delivered);
        assert_eq!(broker.ask::<u64>(&["LLEN", "celery"]), 1);
    }
}

#[tokio::test]
async fn a_broker_that_hangs_is_left_at_the_timeout() {
    let broker = Broker::start(&[]);
    let options = CeleryOptions { timeout: Duration::from_secs(1), ..CeleryOptions::new(broker.url()) };
    let events = events(options);
    assert_eq!(events.deliver(delivery("celery")).await, Outcome::Delivered);
    broker.signal("STOP");
    let began = Instant::now();
    for _ in 0..2 {
        let error = retry(events.deliver(delivery("celery")).await);
        assert!(error.contains("no answer within 1 s") || error.contains("in time"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    broker.signal("CONT");
    assert_eq!(events.deliver(delivery("celery")).await, Outcome::Delivered);
    // The pushes whose answers came too late happened all the same: why events come at least once.
    assert!(broker.ask::<u64>(&["LLEN", "celery"]) >= 2);
}

#[tokio::test]
async fn many_attempts_at_a_silent_broker_end_together() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", silent.local_addr().unwrap());
    let events = Arc::new(events(CeleryOptions { timeout: Duration::from_millis(500), ..CeleryOptions::new(url) }));
    let began = Instant::now();
    let mut attempts = Vec::new();
    for _ in 0..20 {
        let events = Arc::clone(&events);
        attempts.push(tokio::spawn(async move { events.deliver(delivery("celery")).await }));
    }
    for attempt in attempts {
        retry(attempt.await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_broker_that_refuses_is_tried_again() {
    let broker = Broker::start(&[]);
    let events = events(CeleryOptions::new(broker.url()));
    broker.ask::<String>(&["SET", "celery", "no list"]);
    assert!(retry(events.deliver(delivery("celery")).await).contains("it answered WRONGTYPE"));
    broker.ask::<u64>(&["DEL", "celery"]);
    broker.ask::<String>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(retry(events.deliver(delivery("celery")).await).contains("OOM"));
    broker.ask::<String>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(events.deliver(delivery("celery")).await, Outcome::Delivered);
    let nobody = format!("redis://127.0.0.1:{}/", free_port());
    let error = retry(self::events(CeleryOptions::new(nobody)).deliver(delivery("celery")).await);
    assert!(error.contains("nobody listens"), "{error}");
}

#[tokio::test]
async fn what_is_no_json_never_becomes_a_task() {
    let broker = Broker::start(&[]);
    let events = events(CeleryOptions::new(broker.url()));
    for payload in ["", "{", "{} {}", "nothing"] {
        let delivery = Delivery { payload: payload.to_owned(), ..delivery("celery") };
        assert!(failed(events.deliver(delivery).await).contains("not JSON"));
    }
    assert_eq!(broker.ask::<u64>(&["EXISTS", "celery"]), 0);
}
