//! `Prefer` (RFC 7240), in every shape that a client may give it.

use testkit::server::Server;
use testkit::{Api, Shot, photo};

use super::idle;
use crate::support::participant;

/// The lines of a request's `Prefer`; whether they ask for tasks; how long they would wait.
type Case = (&'static [&'static str], bool, Option<&'static str>);

const CASES: &[Case] = &[
    (&[], false, None),
    (&["respond-async"], true, None),
    (&["Respond-Async"], true, None),
    (&["RESPOND-ASYNC"], true, None),
    (&["respond-async;"], true, None),
    (&["respond-async; foo"], true, None),
    (&["respond-async ; foo=bar"], true, None),
    (&["respond-async;foo=\"a,b\""], true, None),
    (&["respond-async;foo=\"a;b\""], true, None),
    (&["respond-async="], true, None),
    (&["respond-async=\"\""], true, None),
    (&["respond-async = \"\""], true, None),
    (&["\trespond-async\t"], true, None),
    (&[",,respond-async,,"], true, None),
    (&[" , respond-async"], true, None),
    (&["respond-async, respond-async"], true, None),
    (&["respond-async", "respond-async"], true, None),
    // Both: respond-async wins, whichever comes first.
    (&["respond-async, wait=10"], true, Some("10")),
    (&["wait=10, respond-async"], true, Some("10")),
    (&["respond-async", "wait=10"], true, Some("10")),
    (&["wait=10", "respond-async"], true, Some("10")),
    (&["respond-async;wait=10"], true, None),
    (&["wait=10"], false, Some("10")),
    (&["WAIT=10"], false, Some("10")),
    (&["wait = 10"], false, Some("10")),
    (&["wait\t=\t10"], false, Some("10")),
    (&["wait=\"10\""], false, Some("10")),
    (&["wait=\"\\10\""], false, Some("10")),
    (&["wait=0"], false, Some("0")),
    (&["wait=00"], false, Some("0")),
    (&["wait=010"], false, Some("10")),
    (&["wait=2147483648"], false, Some("2147483648")),
    (&["wait=2147483649"], false, Some("2147483648")),
    (&["wait=99999999999999999999999999"], false, Some("2147483648")),
    (&["wait=10; foo=bar"], false, Some("10")),
    (&["wait=10;wait=20"], false, Some("10")),
    (&["foo=bar;baz=\"x;y,z\", wait=7"], false, Some("7")),
    // No number of seconds.
    (&["wait"], false, None),
    (&["wait="], false, None),
    (&["wait=\"\""], false, None),
    (&["wait=abc"], false, None),
    (&["wait=-1"], false, None),
    (&["wait=+1"], false, None),
    (&["wait=1.5"], false, None),
    (&["wait=0x10"], false, None),
    (&["wait=1 0"], false, None),
    (&["wait=\" 10\""], false, None),
    (&["wait=\"10"], false, None),
    (&["wait=10\""], false, None),
    (&["wait 10"], false, None),
    (&["wait;10"], false, None),
    (&["wait=1_000"], false, None),
    // The first of two counts, whether it can be used or not.
    (&["wait=5, wait=10"], false, Some("5")),
    (&["wait=5", "wait=10"], false, Some("5")),
    (&["wait=abc, wait=10"], false, None),
    (&["wait, wait=10"], false, None),
    (&["respond-async=no, respond-async"], false, None),
    // Others.
    (&["respond-async=true"], false, None),
    (&["respond-async=\"true\""], false, None),
    (&["return=minimal"], false, None),
    (&["return=minimal, respond-async"], true, None),
    (&["return=representation", "handling=lenient", "wait=3; x"], false, Some("3")),
    (&["depth-noroot", "wait=3; x", "respond-async; y"], true, Some("3")),
    (&["foo; respond-async"], false, None),
    (&["handling=lenient; wait=10"], false, None),
    (&["foo=respond-async"], false, None),
    (&["foo=\"respond-async\""], false, None),
    (&["foo=\"a, respond-async\""], false, None),
    (&["foo=\"a, respond-async, \", wait=1"], false, Some("1")),
    (&["foo=\"a\\\", respond-async\""], false, None),
    (&["foo=\"a\\\\\", respond-async"], true, None),
    (&["foo=\"a\", respond-async"], true, None),
    (&["foo=\"never closed, respond-async"], false, None),
    (&["foo=\"never closed", "respond-async"], true, None),
    (&["respond-asynchronously"], false, None),
    (&["x-respond-async"], false, None),
    (&["respond_async"], false, None),
    (&["respond async"], false, None),
    (&["(respond-async)"], false, None),
    (&["\"respond-async\""], false, None),
    (&["respond-async/1"], false, None),
    (&[""], false, None),
    (&[",", ";", "="], false, None),
    (&["\u{fc}=1, wait=2"], false, Some("2")),
];

fn answers(server: &Server, tasks_by_default: bool) -> usize {
    let mut api: Api = participant(server);
    for (at, (lines, respond_async, wait)) in CASES.iter().enumerate() {
        let shot = Shot::interval(photo::jpeg_bytes(3_000, at as u64));
        let mut request = testkit::api::upload_request(&api.cookie, &api.session_id, &[shot]);
        for line in *lines {
            request = request.header("Prefer", line);
        }
        let answer = api.send(&request).unwrap();
        let names_tasks = *respond_async || (tasks_by_default && wait.is_none());
        assert_eq!(answer.status, if names_tasks { 202 } else { 200 }, "{lines:?}: {answer:?}");
        let applied = match (names_tasks, *respond_async, wait) {
            (true, true, _) => Some("respond-async".to_owned()),
            (false, _, Some(seconds)) => Some(format!("wait={seconds}")),
            _ => None,
        };
        assert_eq!(answer.header("preference-applied"), applied.as_deref(), "{lines:?}");
        assert_eq!(answer.header("vary"), Some("Prefer"), "{lines:?}");
        let body = answer.json();
        assert_eq!((body["task_ids"].is_array(), body["captures"].is_array()), (names_tasks, !names_tasks), "{body}");
    }
    assert_eq!(api.list().unwrap().len(), CASES.len(), "stored, whatever was preferred");
    CASES.len()
}

#[test]
fn every_shape_of_the_header_in_both_modes() {
    let direct = answers(&idle().start().unwrap(), false);
    let queued = answers(&idle().env("FILMGATE__INGEST__MODE", "queued").start().unwrap(), true);
    println!("{} answers", direct + queued);
}
