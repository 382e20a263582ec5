//! Silence, drips, and those who only talk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_silent_connection_is_closed_without_a_word() {
    let limits = ListenLimits { header_read_timeout: SHORT, ..far() };
    let server = start(routes(), limits);
    let mut client = server.connect().await;
    assert_eq!(read_to_end(&mut client).await.unwrap(), "");
}

#[tokio::test]
async fn an_unfinished_header_is_closed_however_steadily_it_drips() {
    let limits = ListenLimits { header_read_timeout: SHORT, ..far() };
    let server = start(routes(), limits);
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: cam\r\n").await.unwrap();
    let took_all = drip(&mut client, b"X-Drip: 1\r\n", Duration::from_millis(20), 1500).await;
    assert!(!took_all, "thirty seconds of header were accepted");
}

#[tokio::test]
async fn a_kept_alive_connection_may_rest_only_so_long() {
    let limits = ListenLimits { header_read_timeout: SHORT, ..far() };
    let server = start(routes(), limits);
    let answer = server.talk(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_header_then_silence_is_408() {
    let limits = ListenLimits { body_idle_timeout: SHORT, ..far() };
    let server = start(routes(), limits);
    let answer = server.talk(&post_of("/take", 100)).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("Idle"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_drip_below_the_floor_is_408() {
    let limits = ListenLimits { body_grace: SHORT, body_rate_min_bytes_per_second: 100_000, ..far() };
    let server = start(routes(), limits);
    let mut client = server.connect().await;
    client.write_all(post_of("/take", 100_000).as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let answer = tokio::select! {
        answer = read_to_end(&mut reading) => answer.unwrap(),
        _ = drip(&mut writing, b"x", Duration::from_millis(20), 5000) => panic!("never ended"),
    };
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("TooSlow"), "{answer}");
}

#[tokio::test]
async fn slow_but_above_the_floor_stays() {
    let limits = ListenLimits { body_grace: SHORT, body_rate_min_bytes_per_second: 100, ..far() };
    let server = start(routes(), limits);
    let mut client = server.connect().await;
    client.write_all(post_of("/take", 40 * 200).as_bytes()).await.unwrap();
    assert!(drip(&mut client, &[b'x'; 200], Duration::from_millis(20), 40).await);
    let answer = read_until(&mut client, "took 8000").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_without_end_meets_the_hard_total() {
    let limits = ListenLimits { body_total_timeout: SHORT, ..far() };
    let server = start(routes(), limits);
    let mut client = server.connect().await;
    let head = "POST /take HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let answer = tokio::select! {
        answer = read_to_end(&mut reading) => answer.unwrap(),
        _ = drip(&mut writing, chunk.as_bytes(), Duration::from_millis(5), 9000) => {
            panic!("never ended")
        }
    };
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("Total"), "{answer}");
}

#[tokio::test]
async fn the_servers_own_slowness_is_not_held_against_the_client() {
    let late = |request: Request| async {
        tokio::time::sleep(SHORT * 4).await;
        take(request).await
    };
    let limits = ListenLimits { body_idle_timeout: SHORT, body_grace: SHORT, ..far() };
    let server = start(Router::new().route("/late", post(late)), limits);
    let mut client = server.connect().await;
    // More than the sockets hold, so that the client, too, waits for the server.
    let body = vec![b'x'; BIG_BYTES];
    client.write_all(post_of("/late", body.len()).as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    read_until(&mut client, &format!("took {BIG_BYTES}")).await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_closed() {
    let (gone, is_gone) = oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let endless = move || async move {
        let held = Gone(gone.lock().unwrap().take());
        Body::from_stream(futures_util::stream::repeat_with(move || {
            let _still = &held;
            Ok::<_, io::Error>(vec![0_u8; 64 * 1024])
        }))
    };
    let limits = ListenLimits { write_timeout: SHORT, ..far() };
    let server = start(Router::new().fallback(any(endless)), limits);
    let mut client = server.connect().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    tokio::time::timeout(HANG, is_gone).await.expect("still writing").unwrap();
}

#[tokio::test]
async fn a_client_that_ended_its_sending_side_still_gets_its_answer() {
    let (start_work, started) = oneshot::channel();
    let start_work = Arc::new(std::sync::Mutex::new(Some(start_work)));
    let done = Arc::new(AtomicBool::new(false));
    let work = {
        let done = Arc::clone(&done);
        move || async move {
            start_work.lock().unwrap().take().unwrap().send(()).unwrap();
            tokio::time::sleep(SHORT).await;
            done.store(true, Ordering::SeqCst);
            "done"
        }
    };
    let server = start(Router::new().fallback(any(work)), far());
    let mut client = server.connect().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    // The sending side only: still there to listen.
    client.shutdown().await.unwrap();
    started.await.unwrap();
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.ends_with("done") && done.load(Ordering::SeqCst), "{answer}");
}
