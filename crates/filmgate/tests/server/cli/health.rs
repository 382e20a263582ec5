//! `filmgate health`: asked by whoever watches a container.

use std::net::TcpListener;
use std::time::Instant;

use crate::support::{filmgate, server};

fn health(listen: &str, ready: bool) -> (i32, String, String) {
    let setting = format!("server.listen={listen}");
    let args = ["health", "--set", &setting, "--ready"];
    let ran = filmgate(if ready { &args } else { &args[..3] });
    (ran.status, ran.out, ran.err)
}

#[test]
fn a_server_that_lives_is_ready_or_says_why_not() {
    let server = server();
    let address = server.address().to_string();
    assert_eq!(health(&address, false), (0, "200 ok\n".to_owned(), String::new()));
    let (status, out, _) = health(&address, true);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains(r#""ready":true"#), "{out}");
    // By the address that it listens on, also where that is every one.
    let everywhere = format!("0.0.0.0:{}", server.address().port());
    assert_eq!(health(&everywhere, false).0, 0);

    let full = crate::support::builder().env("FILMGATE__INGEST__FREE_BYTES_MIN", "1125899906842624").start().unwrap();
    let address = full.address().to_string();
    assert_eq!(health(&address, false).0, 0);
    let (status, out, _) = health(&address, true);
    assert_eq!(status, 1);
    assert!(out.starts_with("503 ") && out.contains("ingest.free_bytes_min"), "{out}");
}

#[test]
fn silence_is_an_end_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let began = Instant::now();
    let (status, out, err) = health(&address, false);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("does not answer"), "{err}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    drop(silent);
    assert_eq!(health(&address, false).0, 2, "nobody listens");
}
