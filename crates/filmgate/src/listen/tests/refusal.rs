//! Answers that come before the body, and connections that must end well.

use super::*;

const UPLOAD_BYTES: usize = 20 * 1024 * 1024;

/// A client like most: sends all it has, and only then looks for an answer.
async fn send_all_then_read(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    let piece = vec![b'x'; 64 * 1024];
    client.write_all(post_of("/refuse", UPLOAD_BYTES).as_bytes()).await?;
    for _ in 0..UPLOAD_BYTES / piece.len() {
        client.write_all(&piece).await?;
    }
    read_to_end(client).await
}

pub(super) async fn sees_the_refusal(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let answer = send_all_then_read(client).await.expect("reset");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("too large, sorry"), "{answer}");
}

#[tokio::test]
async fn a_client_in_the_middle_of_sending_sees_the_413() {
    let server = start(routes(), far());
    sees_the_refusal(&mut server.connect().await).await;
}

/// The control: what lingering is for. Without it the same client meets a reset.
#[tokio::test]
async fn without_lingering_it_would_meet_a_reset() {
    let server = start(routes(), ListenLimits { linger_bytes_max: 0, ..far() });
    let mut client = server.connect().await;
    send_all_then_read(&mut client).await.expect_err("no reset: the test above proves nothing");
}

#[tokio::test]
async fn the_413_comes_at_once_and_not_after_the_body() {
    let server = start(routes(), far());
    let mut client = server.connect().await;
    client.write_all(post_of("/refuse", UPLOAD_BYTES).as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "too large, sorry").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_half_dead_client_lingers_only_so_long() {
    let limits = ListenLimits { connections_max: 1, linger_timeout: Duration::from_millis(200), ..far() };
    let server = start(routes(), limits);
    let mut half_dead = server.connect().await;
    half_dead.write_all(post_of("/refuse", UPLOAD_BYTES).as_bytes()).await.unwrap();
    // It neither sends nor closes. Its place is free again all the same.
    let mut tries = 0;
    while !server.talk(GET_AND_CLOSE).await.starts_with("HTTP/1.1 200") {
        tries += 1;
        assert!(tries < 500, "its place is never freed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(tries > 0, "the connection did not linger at all");
}

#[tokio::test]
async fn a_header_too_long_is_told_so_even_while_it_is_sent() {
    let server = start(routes(), far());
    let request = format!("GET / HTTP/1.1\r\nHost: cam\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let answer = server.talk(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// The second one refuses a body as well, where hyper's own way of giving the socket back would
/// cut the answer short.
#[tokio::test]
async fn a_large_answer_on_a_closing_connection_arrives_whole() {
    let server = start(routes(), far());
    for request in [GET_AND_CLOSE.replace("GET /", "GET /big"), post_of("/big", 100)] {
        let mut client = server.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = read_to_end(&mut client).await.unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.len(), BIG_BYTES, "{request}");
    }
}

#[tokio::test]
async fn a_body_read_to_its_end_keeps_the_connection() {
    let server = start(routes(), far());
    let mut client = server.connect().await;
    for _ in 0..3 {
        let request = post_of("/take", 5) + "12345";
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "took 5").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_short_body_then_the_end_is_a_bad_request() {
    let server = start(routes(), far());
    let chunked = "POST /take HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n";
    for request in [post_of("/take", 100) + "12345", chunked.to_owned()] {
        let mut client = server.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let answer = read_to_end(&mut client).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

fn expecting(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: cam\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_is_wanted_is_asked_for() {
    let server = start(routes(), far());
    let mut client = server.connect().await;
    client.write_all(expecting("/take").as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"12345").await.unwrap();
    read_until(&mut client, "took 5").await;
}

#[tokio::test]
async fn a_body_that_is_refused_is_not_asked_for() {
    let server = start(routes(), far());
    let mut client = server.connect().await;
    client.write_all(expecting("/refuse").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "sorry").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
