//! The form: what is no form, what a form may not hold, and that whatever is a form is stored exactly.

use serde_json::json;
use testkit::form::BOUNDARY;
use testkit::{Connection, Form, Request, Server, photo};

use super::support::{
    assert_nothing_left, assert_refused, assert_stored, batch, builder, chunked, clear, server, unprocessed,
    with_comment,
};

/// A request and the answer it must get.
type Case = (&'static str, Request, u16, &'static str);

fn check(server: &Server, cases: Vec<Case>) {
    let count = cases.len();
    for (name, request, status, code) in cases {
        let answer = request.send(server.address()).unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        assert_refused(server, name, &answer, status, code);
    }
    println!("multipart: {count} refusals");
}

/// Each form stores exactly its photos.
fn check_stored(server: &Server, cases: Vec<(&'static str, Request, &[&[u8]])>) {
    let count = cases.len();
    for (name, request, photos) in cases {
        let answer = request.send(server.address()).unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        assert_stored(server, name, &answer, photos);
        clear(server);
    }
    println!("multipart: {count} accepted");
}

fn small_photo() -> Vec<u8> {
    photo::jpeg(8, 8, 1)
}

/// The session alone.
fn session(server: &Server) -> Form {
    Form::new().text("session_id", &server.demo().participant.session_id)
}

trait Frames {
    fn frame(self, key: &str, photo: &[u8]) -> Self;
    fn wanted(self, key: &str) -> Self;
}

impl Frames for Form {
    fn frame(self, key: &str, photo: &[u8]) -> Self {
        self.file(&format!("capture_{key}"), "frame.jpg", "image/jpeg", photo)
    }

    /// Metadata with the trigger that the demo's settings want.
    fn wanted(self, key: &str) -> Self {
        self.json(&format!("metadata_{key}"), &json!({"trigger": "INTERVAL"}))
    }
}

fn good(server: &Server) -> Form {
    session(server).wanted("0").frame("0", &small_photo())
}

/// As [`batch`], with a type of the request's own.
fn typed(server: &Server, content_type: &str, form: &Form) -> Request {
    let cookie = &server.demo().participant.cookie;
    Request::post("/assessment/camera/upload").cookie(cookie).body(content_type, form.bytes())
}

/// The good form, whose boundary the type gives in these words.
fn bounded(server: &Server, boundary: &str, words: &str) -> Request {
    typed(server, &format!("multipart/form-data; {words}"), &good(server).boundary(boundary))
}

/// The good form with a body of other bytes.
fn with_body(server: &Server, body: &[u8]) -> Request {
    let mut request = batch(server, &good(server));
    request.body = Some(body.to_vec());
    request
}

#[test]
fn what_is_no_form_is_refused() {
    let server = server();
    let kind = |content_type: &str| typed(&server, content_type, &good(&server));
    let mut untyped = kind("text/plain");
    untyped.headers.retain(|(name, _)| name != "Content-Type");
    let body = good(&server).bytes();
    let long = "b".repeat(71);
    let cut = |at: usize| with_body(&server, &body[..at]);
    let photo_at = body.windows(3).position(|bytes| bytes == [0xFF, 0xD8, 0xFF]).unwrap();
    let (unsupported, malformed) = ("not_a_form", "malformed_form");
    check(
        &server,
        vec![
            ("no type", untyped, 415, unsupported),
            ("another type", kind("application/x-www-form-urlencoded"), 415, unsupported),
            ("JSON", kind("application/json"), 415, unsupported),
            ("another multipart", kind(&format!("multipart/mixed; boundary={BOUNDARY}")), 415, unsupported),
            ("no boundary", kind("multipart/form-data"), 400, malformed),
            ("another parameter", kind("multipart/form-data; charset=utf-8"), 400, malformed),
            ("an empty boundary", bounded(&server, "", "boundary="), 400, malformed),
            ("an empty boundary in quotes", bounded(&server, "", "boundary=\"\""), 400, malformed),
            ("71 characters", bounded(&server, &long, &format!("boundary={long}")), 400, malformed),
            ("a boundary of no boundary's characters", bounded(&server, "a<b", "boundary=a<b"), 400, malformed),
            ("another boundary than the body's", bounded(&server, "body", "boundary=head"), 400, malformed),
            ("no bytes", with_body(&server, b""), 400, malformed),
            ("no boundary in the body", with_body(&server, b"hello"), 400, malformed),
            ("no parts", with_body(&server, format!("--{BOUNDARY}--\r\n").as_bytes()), 400, malformed),
            ("an open boundary alone", with_body(&server, format!("--{BOUNDARY}\r\n").as_bytes()), 400, malformed),
            ("no closing boundary", batch(&server, &good(&server).without_closing()), 400, malformed),
            ("an end within the first boundary", cut(10), 400, malformed),
            ("within a part's header", cut(60), 400, malformed),
            ("within the photo", cut(photo_at + 100), 400, malformed),
            ("within the last boundary", cut(body.len() - 10), 400, malformed),
            ("before the last dash", cut(body.len() - 3), 400, malformed),
            ("a preamble of 2 KB", batch(&server, &good(&server).preamble(&[b'p'; 2_048])), 400, malformed),
        ],
    );
}

#[test]
fn what_no_part_may_be_is_refused() {
    let server = server();
    let photo = small_photo();
    let part = |headers: &str| batch(&server, &good(&server).raw_part(headers, &photo));
    let named = |lines: &str| {
        part(&format!("Content-Disposition: form-data; name=\"capture_1\"; filename=\"a.jpg\"\r\n{lines}"))
    };
    let encoded = |encoding: &str| named(&format!("Content-Transfer-Encoding: {encoding}"));
    let latin = b"Content-Disposition: form-data; name=\"capture_\xE9\"; filename=\"a.jpg\"";
    let inside = [b"\r\n--", BOUNDARY.as_bytes(), b"X"].concat();
    let (malformed, encoding) = ("malformed_form", "transfer_encoding");
    check(
        &server,
        vec![
            ("unnamed", part("Content-Disposition: form-data"), 400, malformed),
            ("unnamed, with a filename", part("Content-Disposition: form-data; filename=\"a.jpg\""), 400, malformed),
            ("without a disposition", part("Content-Type: image/jpeg"), 400, malformed),
            ("without headers", part(""), 400, malformed),
            ("a name that is not UTF-8", batch(&server, &good(&server).raw_part_bytes(latin, &photo)), 400, malformed),
            ("a control byte in its name", part("Content-Disposition: form-data; name=\"a\u{1}\""), 400, malformed),
            ("NUL in its name", part("Content-Disposition: form-data; name=\"a\0\""), 400, malformed),
            ("a header line without a colon", named("X-Note"), 400, malformed),
            ("a header of 9 KB", named(&format!("X-Note: {}", "n".repeat(9_000))), 400, malformed),
            ("a header of 100 KB", named(&format!("X-Note: {}", "n".repeat(100_000))), 400, malformed),
            ("33 header lines", named(&vec!["X-Note: n"; 32].join("\r\n")), 400, malformed),
            ("base64", encoded("base64"), 422, encoding),
            ("Base64", encoded("Base64"), 422, encoding),
            ("quoted-printable", encoded("quoted-printable"), 422, encoding),
            ("an unknown encoding", encoded("x-uuencode"), 422, encoding),
            // RFC 2046: a line that begins with the boundary may not stand in a part, whatever follows.
            ("the boundary in a photo, and more", batch(&server, &good(&server).frame("1", &inside)), 400, malformed),
        ],
    );
}

#[test]
fn what_a_form_may_not_hold_is_refused() {
    let server = server();
    let photo = small_photo();
    let demo = server.demo();
    let of = |session_id: &str| batch(&server, &Form::new().text("session_id", session_id).frame("0", &photo));
    let raw_session = |id: &[u8]| {
        batch(&server, &Form::new().raw_part_bytes(b"Content-Disposition: form-data; name=\"session_id\"", id))
    };
    let other = "0191d2a0-0000-7000-8000-000000000000";
    let two = session(&server).wanted("0").frame("0", &photo).text("session_id", other);
    let two_photos = good(&server).frame("0", &photo::jpeg(8, 8, 2));
    let parts = |count: usize| (0..count).fold(good(&server), |form, index| form.text(&format!("note_{index}"), "n"));
    let frames = |count: usize| (0..count).fold(session(&server), |form, index| form.frame(&index.to_string(), &photo));
    let denied = "Session not found or access denied";
    check(
        &server,
        vec![
            ("no session", batch(&server, &Form::new().wanted("0").frame("0", &photo)), 400, ""),
            ("an empty session", of(""), 400, ""),
            ("another's session", of(&demo.other.session_id), 403, ""),
            ("a session that is not there", of(other), 403, ""),
            ("a session that is no id", of("../../etc/passwd"), 403, ""),
            ("a session of no UTF-8", raw_session(b"\xFF\xFE"), 403, ""),
            ("a session with NUL", raw_session(format!("{}\0", demo.participant.session_id).as_bytes()), 403, ""),
            ("a session of 100 KB", of(&"s".repeat(100_000)), 413, "metadata_too_large"),
            ("two sessions", batch(&server, &two), 422, "two_session_ids"),
            (
                "a session, then an empty one",
                batch(&server, &good(&server).text("session_id", "")),
                422,
                "two_session_ids",
            ),
            ("a capture twice", batch(&server, &two_photos), 422, "duplicate_capture"),
            ("401 parts", batch(&server, &parts(398)), 413, "too_many_parts"),
            ("4000 parts", batch(&server, &parts(4_000)), 413, "too_many_parts"),
            ("101 photos", batch(&server, &frames(101)), 413, "too_many_captures"),
        ],
    );
    // The same words for absent and for another's.
    for session_id in [&demo.other.session_id, other] {
        let answer = of(session_id).send(server.address()).unwrap();
        assert_eq!(answer.json(), json!({"status": "SNAFU", "error": denied}));
    }
}

#[test]
fn parts_come_in_any_order_and_count_once() {
    let server = server();
    let (first, second) = (small_photo(), photo::jpeg_bytes(70_000, 2));
    let id = server.demo().participant.session_id.clone();
    let one: &[&[u8]] = &[&first];
    let two: &[&[u8]] = &[&first, &second];
    let files_first =
        Form::new().frame("0", &first).frame("1", &second).wanted("1").wanted("0").text("session_id", &id);
    let fields_first = session(&server).wanted("0").wanted("1").frame("0", &first).frame("1", &second);
    let mixed = Form::new().wanted("1").frame("0", &first).text("session_id", &id).frame("1", &second).wanted("0");
    let empty_first = Form::new().text("session_id", "").text("session_id", &id).wanted("0").frame("0", &first);
    let stray = good(&server)
        .file("avatar", "a.jpg", "image/jpeg", &second)
        .text("capture_1", "no file")
        .file("capture_2", "", "application/octet-stream", b"")
        .text("note", "n")
        .wanted("7");
    let parts_400 = (0..397).fold(good(&server), |form, index| form.text(&format!("note_{index}"), "n"));
    let odd_keys = session(&server)
        .frame("", &first)
        .wanted("")
        .frame("../1 \u{e9}\u{202e}", &second)
        .wanted("../1 \u{e9}\u{202e}");
    check_stored(
        &server,
        vec![
            ("files before fields", batch(&server, &files_first), two),
            ("fields before files", batch(&server, &fields_first), two),
            ("mixed", batch(&server, &mixed), two),
            ("what no contract names", batch(&server, &stray), one),
            ("400 parts", batch(&server, &parts_400), one),
            ("odd keys", batch(&server, &odd_keys), two),
            ("one session twice", batch(&server, &good(&server).text("session_id", &id)), one),
            ("an empty session first", batch(&server, &empty_first), one),
            (
                "metadata twice: the first counts",
                batch(&server, &good(&server).json("metadata_0", &json!({"trigger": "MANUAL"}))),
                one,
            ),
        ],
    );
    let manual_first =
        session(&server).json("metadata_0", &json!({"trigger": "MANUAL"})).wanted("0").frame("0", &first);
    let answer = batch(&server, &manual_first).send(server.address()).unwrap();
    assert_eq!(answer.json()["skipped"][0]["trigger"], "MANUAL", "{answer:?}");
    assert_stored(&server, "the first metadata counts, and does not want it", &answer, &[]);
    assert_nothing_left(&server);
}

#[test]
fn unusual_and_right_is_stored_exactly() {
    let server = server();
    let photo = small_photo();
    let one: &[&[u8]] = &[&photo];
    let two: &[&[u8]] = &[&photo, &photo];
    let seventy = "b".repeat(70);
    let marks = "a'()+_,-./:=?z";
    let part = |headers: &str| batch(&server, &good(&server).raw_part(headers, &photo).wanted("1"));
    let padded = String::from_utf8_lossy(&session(&server).bytes()).replace("\r\nContent", " \t\r\nContent");
    let padded = [padded.trim_end_matches(&format!("--{BOUNDARY}--\r\n")).as_bytes(), &good(&server).bytes()].concat();
    check_stored(
        &server,
        vec![
            ("70 characters", bounded(&server, &seventy, &format!("boundary={seventy}")), one),
            ("one character", bounded(&server, "b", "boundary=b"), one),
            ("every mark, in quotes", bounded(&server, marks, &format!("boundary=\"{marks}\"")), one),
            ("a boundary with a space", bounded(&server, "a b", "boundary=\"a b\""), one),
            ("upper case", bounded(&server, "b", "BOUNDARY=b"), one),
            ("behind another parameter", bounded(&server, "b", "charset=utf-8; boundary=b"), one),
            (
                "another case of the type",
                typed(&server, &format!("Multipart/Form-Data;boundary={BOUNDARY}"), &good(&server)),
                one,
            ),
            ("a preamble and an epilogue", batch(&server, &good(&server).preamble(b"hello\r\n").epilogue(b"bye")), one),
            ("spaces behind a boundary", with_body(&server, &padded), one),
            (
                "a disposition in lower case, without quotes",
                part("content-disposition: form-data; name=capture_1; filename=a.jpg"),
                two,
            ),
            (
                "a filename before the name",
                part("Content-Disposition: form-data; filename=\"a; name=x\"; name=\"capture_1\""),
                two,
            ),
            (
                "a binary encoding",
                part(
                    "Content-Disposition: form-data; name=\"capture_1\"; filename=\"a\"\r\nContent-Transfer-Encoding: Binary",
                ),
                two,
            ),
        ],
    );
}

#[test]
fn boundary_like_bytes_in_a_photo_are_the_photos() {
    let server = server();
    let like = |text: &str| with_comment(&small_photo(), text.replace('B', BOUNDARY).as_bytes());
    let almost = &BOUNDARY[..BOUNDARY.len() - 1];
    let texts = [
        "--B".to_owned(),
        "--B--".to_owned(),
        "\n--B\r\n".to_owned(),
        "\r--B--\r\n".to_owned(),
        "\r\n-B\r\n".to_owned(),
        "\r\n --B\r\n".to_owned(),
        "\r\nB\r\n".to_owned(),
        format!("\r\n--{almost}"),
        format!("\r\n--{almost}\r\n--{almost}--\r\n"),
        format!("\r\n--{}\r\n", BOUNDARY.to_uppercase()),
        "\r\n--".repeat(500),
        "\r".repeat(1_000),
        "\r\n\r\nContent-Disposition: form-data; name=\"session_id\"\r\n\r\nx\r\n".to_owned(),
    ];
    let photos: Vec<Vec<u8>> = texts.iter().map(|text| like(text)).collect();
    for (text, photo) in texts.iter().zip(&photos) {
        // It also ends with these bytes: then the true boundary stands right behind.
        let ending = [photo, text.replace('B', BOUNDARY).as_bytes()].concat();
        let form = session(&server).frame("0", photo).wanted("0").frame("1", &ending).wanted("1");
        for sizes in [&[usize::MAX][..], &[7]] {
            let mut request = batch(&server, &form).header("Transfer-Encoding", "chunked");
            request.body = request.body.map(|body| chunked(&body, sizes));
            let answer = request.send(server.address()).unwrap();
            assert_stored(&server, &format!("{text:?}"), &answer, &[photo, &ending]);
        }
        clear(&server);
    }
    println!("multipart: {} accepted with bytes like a boundary's", texts.len() * 2);
}

/// However a form is cut on its way, the same photo is stored: cut in two at each of its bytes, and byte by byte.
#[test]
fn a_form_split_at_any_byte_is_stored_exactly() {
    // What is split is the parser's business, not the disk's.
    let server = unprocessed(builder()).relaxed().start().unwrap();
    let photo = with_comment(&small_photo(), format!("\r\n--{}", &BOUNDARY[..20]).as_bytes());
    let form = Form::new().frame("0", &photo).wanted("0").text("session_id", &server.demo().participant.session_id);
    let body = form.bytes();
    let mut splits: Vec<Vec<usize>> = (1..body.len()).map(|at| vec![at, usize::MAX]).collect();
    splits.extend((1..5).map(|size| vec![size]));
    let mut request = batch(&server, &form).header("Transfer-Encoding", "chunked");
    let mut api = server.participant();
    for sizes in &splits {
        request.body = Some(chunked(&body, sizes));
        let answer = api.send(&request).unwrap();
        let captures = testkit::api::captures(&answer).unwrap_or_else(|error| panic!("split {sizes:?}: {error}"));
        let file = api.file(&captures[0].filename).unwrap();
        assert!(captures.len() == 1 && file.body == photo, "split {sizes:?}: {answer:?}");
    }
    // Byte by byte as packets, too: how the server's reads cut them is the network's choice.
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_head(&batch(&server, &form)).unwrap();
    assert_eq!(connection.drip(&body, 1, std::time::Duration::ZERO), body.len());
    assert_stored(&server, "byte by byte", &connection.read_response(false).unwrap(), &[&photo]);
    assert_eq!(api.list().unwrap().len(), splits.len() + 1);
    clear(&server);
    println!("multipart: one form of {} bytes, split in {} ways", body.len(), splits.len() + 1);
}
