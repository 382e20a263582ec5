//! `/api/v1/figures`: what the operator's page shows.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use testkit::server::{Server, ServerBuilder};
use testkit::{Connection, Shot, api, photo};

use crate::support::{as_admin, assert_members, builder, holds_within, server, unprocessed, upload_of};

/// Whether it holds within some samples and the slowness of a busy machine.
fn sooner_or_later(mut question: impl FnMut() -> bool) -> bool {
    holds_within(Duration::from_secs(80), || {
        std::thread::sleep(Duration::from_millis(300));
        question()
    })
}

#[track_caller]
fn figures(server: &Server, query: &str) -> Value {
    let answer = as_admin(server, "GET", &format!("/api/v1/figures{query}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// What all samples together say happened, rates times the seconds between samples.
fn sum(figures: &Value, name: &str) -> f64 {
    let seconds = figures["sample_seconds"].as_f64().unwrap();
    samples(figures).iter().map(|sample| sample[name].as_f64().unwrap() * seconds).sum()
}

fn samples(figures: &Value) -> &Vec<Value> {
    figures["samples"].as_array().unwrap()
}

#[test]
fn what_comes_is_in_the_samples() {
    let server = server();
    for seed in 0..4 {
        assert_eq!(upload_of(&server, &photo::jpeg(64, 48, seed)).send(server.address()).unwrap().status, 200);
    }
    let refused = upload_of(&server, b"no photo").send(server.address()).unwrap();
    assert!(refused.status >= 400, "{refused:?}");
    let has_come = || sum(&figures(&server, ""), "captures_per_second") > 1.0;
    assert!(sooner_or_later(has_come), "{}", figures(&server, ""));

    let told = figures(&server, "");
    assert_members(
        &told,
        [
            "node",
            "version",
            "began_at",
            "ready",
            "problems",
            "uploads_in_flight_max",
            "hints",
            "sample_seconds",
            "samples",
            "refused",
        ],
    );
    // Between two samples there are more seconds than were meant where the machine is busy.
    for (name, expected) in [("uploads_per_second", 4.0), ("captures_per_second", 4.0), ("refused_per_second", 1.0)] {
        let found = sum(&told, name);
        assert!(found > expected * 0.4 && found < expected * 1.1, "{name}: {found} in {told}");
    }
    assert!(samples(&told).iter().any(|sample| sample["answer_p99_ms"].as_f64().is_some_and(|took| took > 0.0)));
    assert!(samples(&told).iter().all(|sample| sample["disk_free_bytes"].as_f64().unwrap() > 1e6));
    assert_eq!((told["ready"].as_bool(), told["problems"].as_array().map(Vec::len)), (Some(true), Some(0)));
    let code = refused.json()["code"].as_str().unwrap().to_owned();
    assert!(told["refused"].as_array().unwrap().iter().any(|one| one["code"] == code.as_str() && one["count"] == 1.0));

    // Who asks again is told what is new, and everything where another node is known.
    let node = told["node"].as_str().unwrap();
    let newest = samples(&told).last().unwrap()["at"].as_str().unwrap();
    let count = samples(&told).len();
    let again = |nodes: &str| samples(&figures(&server, &format!("?since={newest}&nodes={nodes}"))).len();
    assert!(again(node) <= 1 && again(&format!("another,{node}")) <= 1 && again("another") >= count);
    let malformed = as_admin(&server, "GET", "/api/v1/figures?since=yesterday", None);
    assert_eq!((malformed.status, &malformed.json()["code"]), (400, &"malformed_query".into()));
    println!("{} samples", samples(&told).len());
}

/// Somebody else's upload that was let in, and of whose body nothing comes.
fn begun(server: &Server) -> Connection {
    let person = &server.demo().other;
    let request = api::upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo::jpeg(64, 48, 1))]);
    let request = request.header("Expect", "100-continue");
    let length = request.body.as_ref().map_or(0, Vec::len).to_string();
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_head(&request.header("Content-Length", &length)).unwrap();
    let mut asked = [0; 25];
    connection.stream().read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection
}

#[test]
fn frames_that_are_thinned_show_and_so_does_that_they_come_again() {
    let places = ["UPLOADS_IN_FLIGHT_MAX", "UPLOADS_IN_FLIGHT_PER_USER_MAX"];
    let one_place = |builder: ServerBuilder, name: &str| builder.env(&format!("FILMGATE__INGEST__{name}"), "1");
    let server = places.into_iter().fold(unprocessed(builder()), one_place).start().unwrap();
    let held = begun(&server);
    let photo = photo::jpeg(64, 48, 2);
    let is_thinned = || {
        let refused = upload_of(&server, &photo).send(server.address()).unwrap();
        assert_eq!(refused.status, 503, "{refused:?}");
        figures(&server, "")["hints"]["interval_ms"].as_u64().is_some_and(|interval| interval > 1_000)
    };
    assert!(sooner_or_later(is_thinned));
    let told = figures(&server, "");
    assert_eq!(told["ready"], false, "a full house: {told}");
    let asked = |sample: &Value| sample["hint_interval_seconds"].as_f64().unwrap();
    let shows = || {
        // Answers go on to ask.
        upload_of(&server, &photo).send(server.address()).unwrap();
        let told = figures(&server, "");
        samples(&told).iter().any(|sample| asked(sample) > 1.0) && sum(&told, "hints_per_second") >= 1.0
    };
    assert!(sooner_or_later(shows), "{}", figures(&server, ""));
    drop(held);
    // Nobody uploads any more, and it goes away all the same.
    let has_recovered = || asked(samples(&figures(&server, "")).last().unwrap()).abs() < f64::EPSILON;
    assert!(sooner_or_later(has_recovered), "{}", figures(&server, ""));
    assert!(figures(&server, "")["hints"]["interval_ms"].is_null());
}
