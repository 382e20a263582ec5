//! HTTP itself: lengths, codings, hosts, heads that are too long, and bodies that break off.

use std::io;

use testkit::{Connection, Form, Response, Server, photo};

use super::support::{
    GRACE, assert_nothing_left, assert_refused, assert_stored, batch, builder, chunked, clear, files_of_store,
    holds_within, server, upload_of,
};

const HOST: &str = "Host: camera.example\r\n";

/// What a client sends on a connection of its own, and the answer it must get.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(name: &'static str, bytes: Vec<u8>, status: u16, code: &'static str) -> Case {
    Case { name, bytes, status, code }
}

/// Whether the client says, after the last byte, that there will be none.
#[derive(Clone, Copy)]
enum After {
    HalfClose,
    Silence,
}

fn check(server: &Server, after: After, cases: Vec<Case>) {
    let count = cases.len();
    for Case { name, bytes, status, code } in cases {
        let answer = exchange(server, &bytes, after).unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        assert_refused(server, name, &answer, status, code);
    }
    println!("http: {count} refusals");
}

fn exchange(server: &Server, bytes: &[u8], after: After) -> io::Result<Response> {
    let mut connection = Connection::open(server.address())?;
    // A server that answers before the last byte may also have closed before it; what counts is the answer.
    let written = connection.write(bytes);
    if matches!(after, After::HalfClose) {
        connection.half_close().ok();
    }
    connection.read_response(false).map_err(|error| written.err().unwrap_or(error))
}

fn form(server: &Server) -> Form {
    testkit::api::upload_form(
        &server.demo().participant.session_id,
        &[testkit::Shot::interval(photo::jpeg_bytes(4_000, 1))],
    )
}

/// An upload with these lines in its head besides sign-in and type.
fn upload(server: &Server, lines: &str, body: &[u8]) -> Vec<u8> {
    let cookie = &server.demo().participant.cookie;
    let kind = Form::new().content_type();
    let head =
        format!("POST /assessment/camera/upload HTTP/1.1\r\n{lines}Cookie: {cookie}\r\nContent-Type: {kind}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn a_length_that_is_no_length_is_refused() {
    let server = server();
    let body = form(&server).bytes();
    let length = body.len();
    let with = |value: &str| upload(&server, &format!("{HOST}Content-Length: {value}\r\n"), &body);
    check(
        &server,
        After::HalfClose,
        vec![
            case("two lengths", with(&format!("{length}\r\nContent-Length: {}", length + 1)), 400, ""),
            case("two lengths, shorter first", with(&format!("5\r\nContent-Length: {length}")), 400, ""),
            case("a list of two lengths", with(&format!("{length}, {}", length + 1)), 400, ""),
            case("negative", with(&format!("-{length}")), 400, ""),
            case("signed", with(&format!("+{length}")), 400, ""),
            case("empty", with(""), 400, ""),
            case("hexadecimal", with(&format!("0x{length:x}")), 400, ""),
            case("a fraction", with(&format!("{length}.0")), 400, ""),
            case("in words", with("many"), 400, ""),
            case("past 64 bits", with("18446744073709551616"), 400, ""),
            case("none", upload(&server, HOST, &[]), 400, "malformed_form"),
            case("zero", upload(&server, &format!("{HOST}Content-Length: 0\r\n"), &[]), 400, "malformed_form"),
            case("shorter than the form", with(&(length - 40).to_string()), 400, "malformed_form"),
        ],
    );
}

#[test]
fn a_coding_that_is_not_chunked_is_refused() {
    let server = server();
    let body = chunked(&form(&server).bytes(), &[1_000]);
    let with = |lines: &str| upload(&server, &format!("{HOST}{lines}\r\n"), &body);
    let old = String::from_utf8_lossy(&upload(&server, &format!("{HOST}Transfer-Encoding: chunked\r\n"), &[]))
        .replace("HTTP/1.1", "HTTP/1.0");
    check(
        &server,
        After::HalfClose,
        vec![
            case("gzip", with("Transfer-Encoding: gzip"), 400, ""),
            case("identity", with("Transfer-Encoding: identity"), 400, ""),
            case("chunked, then gzip", with("Transfer-Encoding: chunked, gzip"), 400, ""),
            case("chunked and identity", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), 400, ""),
            case("nearly chunked", with("Transfer-Encoding: xchunked"), 400, ""),
            case("empty", with("Transfer-Encoding:"), 400, ""),
            case("in HTTP/1.0", [old.as_bytes(), &body].concat(), 400, ""),
        ],
    );
}

#[test]
fn a_host_is_named_once() {
    let server = server();
    let body = form(&server).bytes();
    let with = |lines: &str| upload(&server, &format!("{lines}Content-Length: {}\r\n", body.len()), &body);
    let absolute = String::from_utf8_lossy(&with(HOST)).replace("POST /", "POST http://elsewhere.example/");
    check(
        &server,
        After::HalfClose,
        vec![
            case("absent", with(""), 400, "host_missing"),
            case("twice the same", with(&HOST.repeat(2)), 400, "host_repeated"),
            case("two", with(&format!("{HOST}Host: other.example\r\n")), 400, "host_repeated"),
            case("other than in the address", absolute.into_bytes(), 400, "host_repeated"),
            case("empty", with("Host:\r\n"), 400, "host_invalid"),
            case("with a space", with("Host: a b\r\n"), 400, "host_invalid"),
            case("with a path", with("Host: a/b\r\n"), 400, "host_invalid"),
            case("with a user", with("Host: user@a\r\n"), 400, "host_invalid"),
        ],
    );
}

#[test]
fn a_head_that_is_none_is_refused() {
    let server = server();
    let body = form(&server).bytes();
    let with = |line: &str| upload(&server, &format!("{HOST}Content-Length: {}\r\n{line}\r\n", body.len()), &body);
    let starting = |line: &str| [line.as_bytes(), b"\r\n", HOST.as_bytes(), b"\r\n"].concat();
    check(
        &server,
        After::HalfClose,
        vec![
            case("a space before the colon", with("X-Note : a"), 400, ""),
            case("no colon", with("X-Note"), 400, ""),
            case("no name", with(": a"), 400, ""),
            case("a control byte in a name", with("X-\u{1}Note: a"), 400, ""),
            case("NUL in a value", with("X-Note: a\0b"), 400, ""),
            case("a lone return in a value", with("X-Note: a\rb"), 400, ""),
            case("a folded line", with("X-Note: a\r\n b"), 400, ""),
            case("no address", starting("POST"), 400, ""),
            case("no version", starting("POST /assessment/camera/upload"), 400, ""),
            case("a space in the address", starting("POST /assessment/ camera/upload HTTP/1.1"), 400, ""),
            case("another protocol", starting("POST /assessment/camera/upload FTP/1.1"), 400, ""),
            case("noise", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, b'\r', b'\n', b'\r', b'\n'], 400, ""),
        ],
    );
}

#[test]
fn a_body_that_breaks_off_is_refused() {
    let server = server();
    let body = form(&server).bytes();
    let sized = |sent: usize| upload(&server, &format!("{HOST}Content-Length: {}\r\n", body.len()), &body[..sent]);
    let chunks = |bytes: &[u8]| upload(&server, &format!("{HOST}Transfer-Encoding: chunked\r\n"), bytes);
    let whole = chunked(&body, &[1_000]);
    let first = |size: &str| [size.as_bytes(), b"\r\n", &body[..], b"\r\n0\r\n\r\n"].concat();
    check(
        &server,
        After::HalfClose,
        vec![
            case("nothing of the body", sized(0), 400, "body_incomplete"),
            case("one byte of it", sized(1), 400, "body_incomplete"),
            case("half of it", sized(body.len() / 2), 400, "body_incomplete"),
            case("all but the closing boundary", sized(body.len() - 10), 400, "body_incomplete"),
            case("no chunk", chunks(b""), 400, "body_incomplete"),
            case("within a size", chunks(b"3e"), 400, "body_incomplete"),
            case("within a chunk", chunks(&whole[..500]), 400, "body_incomplete"),
            case("behind a chunk", chunks(&whole[..1_007]), 400, "body_incomplete"),
            case("a size of letters", chunks(&first("xyz")), 400, "body_incomplete"),
            case("a negative size", chunks(&first("-5")), 400, "body_incomplete"),
            case("no size", chunks(&first("")), 400, "body_incomplete"),
            case("a size past 64 bits", chunks(&first("10000000000000001")), 400, "body_incomplete"),
            case("a chunk longer than its size", chunks(&first("5")), 400, "body_incomplete"),
            case("the last chunk too early", chunks(b"2\r\n--\r\n0\r\n\r\n"), 400, "malformed_form"),
        ],
    );
}

#[test]
fn a_reset_amid_the_body_leaves_nothing() {
    let server = server();
    let photo = photo::jpeg_bytes(600_000, 1);
    let request = upload_of(&server, &photo);
    let body = request.body.clone().unwrap();
    // Before the photo, in its first bytes, and where a staging file holds most of it.
    let cuts = [10, 500, 400_000, body.len() - 10];
    for cut in cuts {
        let mut connection = Connection::open(server.address()).unwrap();
        connection.write_head(&request).unwrap();
        connection.write(&body[..cut]).unwrap();
        let is_staged = || !files_of_store(&server).is_empty();
        assert!(cut < 100_000 || holds_within(GRACE, is_staged), "nothing was staged of {cut} bytes");
        connection.reset().unwrap();
        assert_nothing_left(&server);
    }
    assert!(server.participant().is_up("/livez"));
    println!("http: {} resets", cuts.len());
}

#[test]
fn a_head_too_long_is_refused() {
    let roomy = server();
    let small = builder().env("FILMGATE__SERVER__HEADER_BYTES_MAX", "8192").start().unwrap();
    let cookie = |bytes: usize| format!("Cookie: other={}\r\n", "c".repeat(bytes));
    for server in [&roomy, &small] {
        let with = |lines: &str| upload(server, &format!("{HOST}{lines}"), &[]);
        let path = |bytes: usize| format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "p".repeat(bytes)).into_bytes();
        check(
            server,
            After::Silence,
            vec![
                case("a cookie of 17 KB", with(&cookie(17_000)), 431, ""),
                case("one of a megabyte", with(&cookie(1_000_000)), 431, ""),
                case("many lines", with(&"X-Note: abcdefgh\r\n".repeat(101)), 431, ""),
                case("an address of 17 KB", path(17_000), 431, ""),
                case("an address of 100 KB", path(100_000), 431, ""),
            ],
        );
    }
    check(
        &small,
        After::Silence,
        vec![case("9 KB", upload(&small, &format!("{HOST}{}", cookie(9_000)), &[]), 431, "")],
    );
    let photo = photo::jpeg_bytes(4_000, 1);
    let request = upload_of(&roomy, &photo).cookie(&format!("other={}", "c".repeat(9_000)));
    assert_stored(&roomy, "9 KB where 16 are allowed", &request.send(roomy.address()).unwrap(), &[&photo]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read_and_the_client_sees_it() {
    let server = builder()
        .env("FILMGATE__INGEST__REQUEST_BYTES_MAX", "1000000")
        .env("FILMGATE__INGEST__UPLOAD_BYTES_MAX", "1000000")
        .start()
        .unwrap();
    let form = form(&server).file("capture_big", "big.jpg", "image/jpeg", &photo::jpeg_bytes(8_000_000, 2));
    let body = form.bytes();
    let announced = format!("{HOST}Content-Length: {}\r\n", body.len());
    let in_chunks = format!("{HOST}Transfer-Encoding: chunked\r\n");
    let expecting = format!("{announced}Expect: 100-continue\r\n");
    let cases = vec![
        case("the whole body sent", upload(&server, &announced, &body), 413, "request_too_large"),
        case("in chunks", upload(&server, &in_chunks, &chunked(&body, &[70_000])), 413, "request_too_large"),
        // Only the head: an answer shows that no byte of the body was waited for.
        case("the head alone", upload(&server, &announced, &[]), 413, "request_too_large"),
        case("expecting to be told", upload(&server, &expecting, &[]), 413, "request_too_large"),
    ];
    check(&server, After::Silence, cases);

    let answer = exchange(&server, &upload(&server, &expecting, &[]), After::Silence).unwrap();
    assert_eq!((answer.interim.as_slice(), answer.header("connection")), (&[][..], Some("close")), "{answer:?}");
    let photo = photo::jpeg_bytes(900_000, 3);
    let request = upload_of(&server, &photo).header("Expect", "100-continue");
    let answer = request.send(server.address()).unwrap();
    assert_eq!(answer.interim, [100]);
    assert_stored(&server, "what fits", &answer, &[&photo]);
}

#[test]
fn two_lengths_of_two_kinds_are_read_by_the_chunks_and_end_the_connection() {
    let server = server();
    let photo = photo::jpeg_bytes(4_000, 1);
    let request = upload_of(&server, &photo);
    let body = chunked(request.body.as_deref().unwrap(), &[700]);
    let orders =
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"];
    for lines in orders {
        let mut bytes = upload(&server, &format!("{HOST}{lines}"), &body);
        // A reader that went by the length would take this for a request.
        bytes.extend_from_slice(format!("GET /livez HTTP/1.1\r\n{HOST}\r\n").as_bytes());
        let mut connection = Connection::open(server.address()).unwrap();
        connection.write(&bytes).unwrap();
        let answer = connection.read_response(false).unwrap();
        assert_eq!(answer.header("connection"), Some("close"), "{lines:?}");
        assert_stored(&server, lines, &answer, &[&photo]);
        assert!(connection.read_response(false).is_err(), "{lines:?}: a second request was read");
        clear(&server);
    }
    println!("http: {} accepted, connection ended", orders.len());
}

#[test]
fn unusual_and_right_is_stored_exactly() {
    let server = server();
    let photo = photo::jpeg_bytes(4_000, 1);
    let form = form(&server);
    let body = form.bytes();
    let length = format!("{HOST}Content-Length: {}\r\n", body.len());
    let in_chunks = format!("{HOST}Transfer-Encoding: Chunked\r\n");
    let extended =
        [format!("{:X};note=\"a b\"\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\nX-Sum: 1\r\n\r\n"].concat();
    let chunks = chunked(&body, &[1_000]);
    let cases = [
        ("chunks of one byte", upload(&server, &in_chunks, &chunked(&body, &[1]))),
        ("a chunk with an extension, and a trailer", upload(&server, &in_chunks, &extended)),
        ("the same length twice", upload(&server, &format!("{length}Content-Length: {}\r\n", body.len()), &body)),
        ("an expectation not waited for", upload(&server, &format!("{length}Expect: 100-continue\r\n"), &body)),
        // The form has reached its closing boundary: nothing that was meant is missing.
        ("cut off behind the form", upload(&server, &in_chunks, chunks.strip_suffix(b"0\r\n\r\n").unwrap())),
    ];
    for (name, bytes) in &cases {
        let answer = exchange(&server, bytes, After::HalfClose).unwrap();
        assert_stored(&server, name, &answer, &[&photo]);
        clear(&server);
    }
    let request = batch(&server, &form);
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_request(&request).unwrap();
    connection.write_request(&request).unwrap();
    for name in ["the first of two at once", "the second"] {
        assert_stored(&server, name, &connection.read_response(false).unwrap(), &[&photo]);
    }
    clear(&server);
    println!("http: {} accepted", cases.len() + 2);
}
