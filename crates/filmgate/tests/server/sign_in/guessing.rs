//! Guessing passwords: slow for the guesser, and never a way to lock somebody else out.

use std::time::Instant;

use testkit::rig::redis::Redis;
use testkit::server::Server;
use testkit::{Connection, Request, Response};

use crate::support::{builder, code_of, server, sign_in_request};

fn guess(server: &Server, username: &str, password: &str) -> Response {
    sign_in_request(username, password).send(server.address()).unwrap()
}

/// Guesses until it is refused; how many guesses were taken.
fn guess_until_refused(server: &Server, username: &str) -> (u64, Response) {
    for taken in 0..200 {
        let response = guess(server, username, "a wrong password");
        if response.status != 401 {
            return (taken, response);
        }
    }
    panic!("200 guesses were taken");
}

#[test]
fn a_user_is_guessed_at_slowly_and_nobody_else_is_kept_out() {
    let server = server();
    let (victim, other) = (&server.demo().participant, &server.demo().other);
    let began = Instant::now();
    let (taken, refused) = guess_until_refused(&server, &victim.username);
    // Ten at once, and one more for every six seconds that they take.
    assert!((10..=11 + began.elapsed().as_secs() / 6).contains(&taken), "{taken} guesses a minute");
    assert_eq!((refused.status, code_of(&refused).as_str()), (429, "too_many_attempts"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("set-cookie"), None);
    let cases = [
        // Written otherwise it is the same user.
        (victim.username.to_uppercase(), &victim.password, 429),
        // Even the right password has to wait: else the guesser would be told.
        (victim.username.clone(), &victim.password, 429),
        (other.username.clone(), &other.password, 200),
    ];
    for (username, password, status) in &cases {
        assert_eq!(guess(&server, username, password).status, *status, "{username}");
    }
    // Who is signed in stays so, and may sign out.
    let signed_in = Request::get("/api/v1/sign-in").cookie(&victim.cookie).send(server.address()).unwrap();
    assert_eq!(signed_in.status, 200);
    println!("{taken} guesses taken, {} checks beside them", cases.len() + 1);
}

/// To a guesser two servers with one Redis are one, whatever else they share.
#[test]
fn what_one_node_took_the_other_has_counted() {
    let redis = Redis::start().unwrap();
    let node = || builder().env("FILMGATE__JOBS__REDIS_URL", &redis.url()).start().unwrap();
    let (one, two) = (node(), node());
    let username = &one.demo().participant.username;
    let began = Instant::now();
    let (taken, _) = guess_until_refused(&one, username);
    assert!((10..=11 + began.elapsed().as_secs() / 6).contains(&taken), "{taken} guesses");
    let (taken, refused) = guess_until_refused(&two, username);
    assert!(taken <= 1 + began.elapsed().as_secs() / 6, "{taken} more guesses");
    assert_eq!((refused.status, code_of(&refused).as_str()), (429, "too_many_attempts"));
    println!("one limit at two nodes");
}

#[test]
fn ten_thousand_guesses_at_many_names_from_one_address() {
    const GUESSES: usize = 10_000;
    let server = server();
    let mut connection = Connection::open(server.address()).unwrap();
    let began = Instant::now();
    let mut taken = 0;
    for number in 0..GUESSES {
        let response = connection.send(&sign_in_request(&format!("name-{number}"), "a wrong password")).unwrap();
        match response.status {
            401 => taken += 1,
            429 => assert!(response.header("retry-after").is_some()),
            _ => panic!("{response:?}"),
        }
    }
    // Sixty at once, and one more for each second that the guessing lasts.
    assert!((60..=61 + began.elapsed().as_secs()).contains(&taken), "{taken}");
    println!("{GUESSES} guesses, {taken} of them taken");
}
