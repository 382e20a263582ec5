//! Large forms: without hyper, and unseen by anybody but for the pieces they come in.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::*;

const LENGTH: usize = 64 * 1024;
const PIECE: usize = 256;

fn crawling() -> ListenLimits {
    ListenLimits { body_crawl_time: Duration::from_millis(20), ..far() }
}

fn photo() -> Vec<u8> {
    b"filmgate".iter().copied().cycle().zip(0_u8..=252).map(|(a, b)| a ^ b).cycle().take(LENGTH).collect()
}

/// What was received: SHA-256, and how many pieces it came in.
async fn digest(request: Request) -> Response {
    let (mut body, mut hasher, mut pieces) = (request.into_body(), Sha256::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (StatusCode::BAD_REQUEST, "cut short").into_response() };
        hasher.update(frame.into_data().unwrap());
        pieces += 1;
    }
    format!("{} in {pieces} pieces", hex::encode(hasher.finalize())).into_response()
}

fn server(limits: ListenLimits) -> Server {
    start(routes().route("/digest", post(digest)), limits)
}

/// The header of a form of this length.
fn form_of(path: &str, length: usize) -> String {
    post_of(path, length).replace("\r\n\r\n", "\r\nContent-Type: Multipart/Form-Data; boundary=x\r\n\r\n")
}

async fn send_slowly(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    for piece in bytes.chunks(PIECE) {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads the answer of `digest`; how many pieces it took.
async fn pieces_of(client: &mut (impl AsyncRead + Unpin)) -> usize {
    let answer = read_until(client, " pieces").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert!(head.contains("date: ") && !head.contains("connection: close"), "{answer}");
    let (sha256, pieces) = body.trim_end_matches(" pieces").split_once(" in ").unwrap();
    assert_eq!(sha256, hex::encode(Sha256::digest(photo())));
    pieces.parse().unwrap()
}

#[tokio::test]
async fn all_of_it_arrives_in_few_pieces_and_the_connection_goes_on() {
    let server = server(crawling());
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.write_all(form_of("/digest", LENGTH).as_bytes()).await.unwrap();
        send_slowly(&mut client, &photo()).await;
        // The first ones were hyper's. Of the rest each has 8 KB, but the last.
        let pieces = pieces_of(&mut client).await;
        assert!(pieces <= 8 + LENGTH / PIECE / 3, "{pieces}: it did not leave hyper");
        client.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut client, "tls=false /").await;
    }
}

/// The control: what is no form comes through hyper.
#[tokio::test]
async fn with_hyper_it_comes_in_many_pieces() {
    let server = server(crawling());
    let mut client = server.connect().await;
    client.write_all(post_of("/digest", LENGTH).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()).await;
    let pieces = pieces_of(&mut client).await;
    assert!(pieces > 8 + LENGTH / PIECE / 3, "{pieces}: the test above proves nothing");
}

#[tokio::test]
async fn what_waits_for_the_word_to_go_on_gets_it_once() {
    let server = server(crawling());
    let mut client = server.connect().await;
    let head = form_of("/digest", LENGTH).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    send_slowly(&mut client, &photo()).await;
    let pieces = pieces_of(&mut client).await;
    assert!(pieces < LENGTH / PIECE * 3 / 4, "{pieces}: it did not leave hyper");
}

#[tokio::test]
async fn a_request_sent_behind_the_body_is_answered_or_the_client_is_told() {
    let server = server(crawling());
    let mut client = server.connect().await;
    client.write_all(form_of("/digest", LENGTH).as_bytes()).await.unwrap();
    let photo = photo();
    let (most, rest) = photo.split_at(LENGTH - 100);
    send_slowly(&mut client, most).await;
    client.write_all(&[rest, GET_AND_CLOSE.as_bytes()].concat()).await.unwrap();
    pieces_of(&mut client).await;
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("tls=false /"), "{answer}");
}

/// Answers much before it has seen the end of its body, once it is told to.
async fn early(request: Request, told: Arc<Notify>) -> Body {
    let mut body = request.into_body();
    body.frame().await.unwrap().unwrap();
    told.notified().await;
    drop(body);
    big().await
}

#[tokio::test]
async fn an_earlier_answer_that_was_not_read_yet_is_not_lost() {
    let told = Arc::new(Notify::new());
    let early = {
        let told = told.clone();
        move |request: Request| early(request, told)
    };
    let server = start(routes().route("/digest", post(digest)).route("/early", post(early)), crawling());
    let mut client = server.connect().await;
    let head = "POST /early HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The end of the first body and the second header are with hyper when the first is answered.
    client.write_all(format!("0\r\n\r\n{}", form_of("/digest", LENGTH)).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    told.notify_one();
    send_slowly(&mut client, &photo()).await;
    read_until(&mut client, "\r\n\r\n").await;
    let mut big = vec![0; BIG_BYTES];
    tokio::time::timeout(HANG, client.read_exact(&mut big)).await.expect("hangs").unwrap();
    assert!(big.iter().all(|byte| *byte == b'x'));
    pieces_of(&mut client).await;
}

#[tokio::test]
async fn one_that_comes_fast_is_whole_too() {
    let server = server(far());
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.write_all(&[form_of("/digest", LENGTH).as_bytes(), &photo()].concat()).await.unwrap();
        pieces_of(&mut client).await;
    }
    let head = form_of("/digest", LENGTH).replace("\r\n\r\n", "\r\nConnection: keep-alive, Close\r\n\r\n");
    // What nobody asked for stands behind it, and must not take the answer along.
    client.write_all(&[head.as_bytes(), &photo(), b"\r\n\r\n"].concat()).await.unwrap();
    let answer = read_to_end(&mut client).await.expect("reset");
    assert!(answer.contains("connection: close") && answer.ends_with(" pieces"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_does_not_say_its_length_ends_with_the_connection() {
    let slices = async |request: Request| {
        take(request).await;
        slices().await
    };
    let server = start(Router::new().route("/slices", post(slices)), far());
    let mut client = server.connect().await;
    client.write_all(form_of("/slices", LENGTH).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()).await;
    let answer = read_to_end(&mut client).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close") && !head.contains("content-length"), "{head}");
    assert!(body.len() == 64 * 1024 && body.bytes().all(|byte| byte == b'x'), "{}", body.len());
}

#[tokio::test]
async fn who_leaves_in_the_middle_has_sent_no_body() {
    let server = server(crawling());
    let mut client = server.connect().await;
    client.write_all(form_of("/digest", LENGTH).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()[..LENGTH / 2]).await;
    client.shutdown().await.unwrap();
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("cut short"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn silence_in_the_middle_is_408() {
    let server = server(ListenLimits { body_idle_timeout: Duration::from_millis(400), ..crawling() });
    let mut client = server.connect().await;
    client.write_all(form_of("/take", LENGTH).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()[..LENGTH / 3]).await;
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("Idle"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn what_lies_in_the_kernel_has_come() {
    // 8 KB take 20 times as long as the longest silence that is allowed, and the floor is just below.
    let limits = ListenLimits {
        body_idle_timeout: Duration::from_millis(200),
        body_grace: Duration::from_millis(200),
        ..crawling()
    };
    let server = server(ListenLimits { body_rate_min_bytes_per_second: 500, ..limits });
    let mut client = server.connect().await;
    client.write_all(form_of("/take", LENGTH).as_bytes()).await.unwrap();
    assert!(drip(&mut client, &[b'x'; 100], Duration::from_millis(50), 80).await, "taken for silence");
    client.write_all(&vec![b'x'; LENGTH - 8000]).await.unwrap();
    let answer = read_until(&mut client, &format!("took {LENGTH}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_drip_below_the_floor_is_408() {
    let limits = ListenLimits { body_grace: Duration::from_millis(200), ..crawling() };
    let server = server(ListenLimits { body_rate_min_bytes_per_second: 100_000, ..limits });
    let mut client = server.connect().await;
    client.write_all(form_of("/take", LENGTH).as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let answer = tokio::select! {
        answer = read_to_end(&mut reading) => answer.unwrap(),
        _ = drip(&mut writing, b"x", Duration::from_millis(20), 5000) => panic!("never ended"),
    };
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("TooSlow"), "{answer}");
}

/// Reads some, and then refuses.
async fn refuse_late(request: Request) -> (StatusCode, &'static str) {
    let (mut body, mut bytes) = (request.into_body(), 0);
    while bytes < LENGTH / 2 {
        bytes += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    (StatusCode::PAYLOAD_TOO_LARGE, "too large, sorry")
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_seen() {
    let server = start(Router::new().route("/late", post(refuse_late)), crawling());
    let mut client = server.connect().await;
    let length = 20 * 1024 * 1024;
    client.write_all(form_of("/late", length).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()).await;
    // Sends all it has, and only then looks for an answer.
    client.write_all(&vec![b'x'; length - LENGTH]).await.unwrap();
    let answer = read_to_end(&mut client).await.expect("reset");
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large, sorry"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn draining_lets_it_end_and_closes_its_connection() {
    let server = server(crawling());
    let mut client = server.connect().await;
    client.write_all(form_of("/take", LENGTH).as_bytes()).await.unwrap();
    send_slowly(&mut client, &photo()[..LENGTH / 2]).await;
    server.stage.send(Stage::Draining).unwrap();
    send_slowly(&mut client, &photo()[LENGTH / 2..]).await;
    let answer = read_to_end(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("took {LENGTH}")), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.ended().await.cut, 0);
}

#[tokio::test]
async fn the_cut_ends_it_and_its_handler() {
    // With hyper, which the word to go on keeps it with, and without.
    for expect in ["\r\nExpect: 100-continue\r\n\r\n", "\r\n\r\n"] {
        let (gone, is_gone) = oneshot::channel();
        let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
        let inside = Arc::new(Notify::new());
        let handler = {
            let inside = inside.clone();
            move |request: Request| async move {
                let _gone = Gone(gone.lock().unwrap().take());
                inside.notify_one();
                take(request).await
            }
        };
        let server = start(Router::new().route("/take", post(handler)), far());
        let mut client = server.connect().await;
        client.write_all(form_of("/take", LENGTH).replace("\r\n\r\n", expect).as_bytes()).await.unwrap();
        send_slowly(&mut client, &photo()[..LENGTH / 4]).await;
        inside.notified().await;
        server.stage.send(Stage::Cut).unwrap();
        assert_eq!(server.ended().await.cut, 1);
        tokio::time::timeout(HANG, is_gone).await.expect("the handler is left over").unwrap();
    }
}

#[tokio::test]
async fn through_tls_too() {
    let (server, _, pair, _folder) = super::tls::start_tls_with(routes().route("/digest", post(digest)), crawling());
    let mut client = super::tls::connect(&server, &pair, &[b"http/1.1"]).await.unwrap();
    for _ in 0..2 {
        client.write_all(form_of("/digest", LENGTH).as_bytes()).await.unwrap();
        send_slowly(&mut client, &photo()).await;
        let pieces = pieces_of(&mut client).await;
        assert!(pieces < LENGTH / PIECE * 3 / 4, "{pieces}: it did not leave hyper");
    }
}
