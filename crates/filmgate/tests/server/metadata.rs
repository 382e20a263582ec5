//! What clients say of their photos: JSON that may be anything.

use serde_json::{Value, json};
use testkit::{Form, Request, Response, Server, photo};

use super::support::{assert_nothing_left, assert_refused, assert_stored, batch, clear, made, rows_of_catalog, server};

/// What a single upload sends as its trigger and as its timing, and the answer it must get.
type Refused<'a> = (&'a str, &'a [u8], &'a [u8], u16, &'a str);

/// An upload of one frame with this metadata, before the frame or behind it.
fn upload(server: &Server, metadata: &[u8], first: bool) -> Response {
    const HEADERS: &[u8] = b"Content-Disposition: form-data; name=\"metadata_0\"";
    let frame = |form: Form| form.file("capture_0", "frame.jpg", "image/jpeg", &photo::jpeg(8, 8, 1));
    let form = Form::new().text("session_id", &server.demo().participant.session_id);
    let form = if first {
        frame(form.raw_part_bytes(HEADERS, metadata))
    } else {
        frame(form).raw_part_bytes(HEADERS, metadata)
    };
    batch(server, &form).send(server.address()).unwrap()
}

/// Each is refused alike, wherever it stands in the form.
fn check(server: &Server, cases: &[(&str, Vec<u8>, u16, &str)]) {
    for (name, metadata, status, code) in cases {
        for first in [true, false] {
            assert_refused(server, name, &upload(server, metadata, first), *status, code);
        }
    }
    println!("metadata: {} refusals", cases.len());
}

/// Each counts as `{}`: its trigger is `MANUAL`, which the demo's settings skip.
fn check_is_nothing(server: &Server, cases: &[(&str, Vec<u8>)]) {
    for (name, metadata) in cases {
        for first in [true, false] {
            let answer = upload(server, metadata, first);
            assert_skipped(server, name, &answer, "MANUAL");
        }
    }
    println!("metadata: {} that count as nothing", cases.len());
}

#[track_caller]
fn assert_skipped(server: &Server, name: &str, answer: &Response, trigger: &str) {
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    let body = answer.json();
    assert_eq!(body["captures"], json!([]), "{name}: {body}");
    let skipped = &body["skipped"][0];
    assert_eq!((&skipped["key"], &skipped["trigger"]), (&json!("capture_0"), &json!(trigger)), "{name}: {body}");
    assert_nothing_left(server);
}

/// Each is stored; what the catalog then says of the photo.
fn stored(server: &Server, name: &str, metadata: &[u8]) -> Value {
    let answer = upload(server, metadata, true);
    assert_stored(server, name, &answer, &[&photo::jpeg(8, 8, 1)]);
    let row = rows_of_catalog(server).remove(0);
    clear(server);
    row
}

/// `INTERVAL` nested in so many objects, the whole one included.
fn nested(depth: usize) -> Vec<u8> {
    let inner = format!("{}1{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
    format!(r#"{{"trigger":"INTERVAL","deep":{inner}}}"#).into_bytes()
}

/// `INTERVAL`, and so many bytes in all.
fn long(bytes: usize) -> Vec<u8> {
    let (front, back) = (r#"{"trigger":"INTERVAL","note":""#, r#""}"#);
    format!("{front}{}{back}", "n".repeat(bytes - front.len() - back.len())).into_bytes()
}

fn noted(note: &str) -> Vec<u8> {
    format!(r#"{{"trigger":"INTERVAL","note":"{note}"}}"#).into_bytes()
}

#[test]
fn what_is_no_object_counts_as_nothing() {
    let server = server();
    let texts = [
        ("empty", ""),
        ("spaces", " \r\n "),
        ("a list", r#"[{"trigger":"INTERVAL"}]"#),
        ("a text", r#""INTERVAL""#),
        ("a number", "1"),
        ("null", "null"),
        ("true", "true"),
        ("a bare word", "INTERVAL"),
        ("an object that does not end", r#"{"trigger":"INTERVAL""#),
        ("a text that does not end", r#"{"trigger":"INTERVAL"#),
        ("a comma too many", r#"{"trigger":"INTERVAL",}"#),
        ("single quotes", "{'trigger':'INTERVAL'}"),
        ("more behind the object", r#"{"trigger":"INTERVAL"} {}"#),
        ("a comment", r#"{"trigger":"INTERVAL"} // x"#),
        ("a byte order mark", "\u{feff}{\"trigger\":\"INTERVAL\"}"),
        ("a raw line break in a text", "{\"trigger\":\"INTERVAL\",\"a\":\"b\nc\"}"),
        ("a raw NUL in a text", "{\"trigger\":\"INTERVAL\",\"a\":\"b\0c\"}"),
        ("an unknown escape", r#"{"trigger":"INTERVAL","a":"\x00"}"#),
        ("an escape that does not end", r#"{"trigger":"INTERVAL","a":"\u00"}"#),
        ("an empty object", "{}"),
        ("a trigger of null", r#"{"trigger":null}"#),
    ];
    let mut cases: Vec<(&str, Vec<u8>)> = texts.map(|(name, text)| (name, text.as_bytes().to_vec())).to_vec();
    cases.push(("no UTF-8", b"{\"trigger\":\"INTERVAL\",\"a\":\"\xFF\"}".to_vec()));
    cases.push(("half a surrogate pair in CESU-8", b"{\"trigger\":\"INTERVAL\",\"a\":\"\xED\xA0\x80\"}".to_vec()));
    cases.push(("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()));
    check_is_nothing(&server, &cases);
    let absent = Form::new().text("session_id", &server.demo().participant.session_id).file(
        "capture_0",
        "frame.jpg",
        "image/jpeg",
        &photo::jpeg(8, 8, 1),
    );
    let answer = batch(&server, &absent).send(server.address()).unwrap();
    assert_skipped(&server, "absent", &answer, "MANUAL");
}

#[test]
fn what_is_too_large_or_cannot_be_stored_is_refused() {
    let server = server();
    let (large, unstorable) = ("metadata_too_large", "unstorable_text");
    check(
        &server,
        &[
            ("33 deep", nested(33), 413, large),
            ("33 lists deep", format!(r#"{{"a":{}1{}}}"#, "[".repeat(32), "]".repeat(32)).into_bytes(), 413, large),
            ("60,000 lists that do not end", "[".repeat(60_000).into_bytes(), 413, large),
            ("10,000 objects deep", nested(10_000), 413, large),
            ("a byte past 64 KiB", long(65_537), 413, large),
            ("a megabyte", long(1_000_000), 413, large),
            ("NUL", noted("a\\u0000b"), 422, unstorable),
            ("NUL in a trigger", br#"{"trigger":"INTERVAL\u0000"}"#.to_vec(), 422, unstorable),
            ("NUL in a member's name", br#"{"trigger":"INTERVAL","a\u0000":1}"#.to_vec(), 422, unstorable),
            ("NUL deep inside", br#"{"trigger":"INTERVAL","a":[{"b":["\u0000"]}]}"#.to_vec(), 422, unstorable),
            ("NUL in what is otherwise unwanted", br#"{"trigger":"MANUAL","a":"\u0000"}"#.to_vec(), 422, unstorable),
            ("a lone high surrogate", noted("\\ud83d"), 422, unstorable),
            ("in upper case", noted("\\uD83D"), 422, unstorable),
            ("a lone low surrogate", noted("\\ude00"), 422, unstorable),
            ("a pair the wrong way round", noted("\\ude00\\ud83d"), 422, unstorable),
            ("two high ones", noted("\\ud83d\\ud83d"), 422, unstorable),
            ("a high one before a letter", noted("\\ud83d\\u0041"), 422, unstorable),
            ("one and a half pairs", noted("\\ud83d\\ude00\\ud83d"), 422, unstorable),
        ],
    );
}

#[test]
fn what_fits_is_kept_as_sent() {
    let server = server();
    let kept = [
        ("32 deep", nested(32)),
        ("64 KiB", long(65_536)),
        ("brackets in a text", noted(&"[{".repeat(1_000))),
        ("an escaped backslash before u0000", noted("\\\\u0000")),
        ("a pair", noted("\\ud83d\\ude00")),
        ("every plain escape", noted(r#"\" \\ \/ \b \f \n \r \t \u00e9"#)),
        ("text of many scripts", noted("é 你好 \u{202e} 😀 \u{200b}")),
        ("unknown members", br#"{"z":1,"trigger":"INTERVAL","a":[null,true,1.5,{"b":{}}],"":"","id":"x"}"#.to_vec()),
        ("timing of any shape", br#"{"trigger":"INTERVAL","timing":{"a":1},"captured_at":"yesterday"}"#.to_vec()),
        ("names of ours", br#"{"trigger":"INTERVAL","sha256":"0","filename":"../x","session_id":"x"}"#.to_vec()),
    ];
    for (name, metadata) in &kept {
        let row = stored(&server, name, metadata);
        let sent: Value = serde_json::from_slice(metadata).unwrap();
        assert_eq!(row["metadata"], sent, "{name}");
        assert_eq!(row["capture_trigger"], "INTERVAL", "{name}");
    }
    let lower = stored(&server, "lower case", br#"{"trigger":"interval"}"#);
    assert_eq!(lower["capture_trigger"], "INTERVAL");
    let twice = stored(&server, "a member twice", br#"{"trigger":"MANUAL","trigger":"INTERVAL"}"#);
    assert_eq!(twice["capture_trigger"], "INTERVAL", "the last counts, as in the app");
    println!("metadata: {} kept as sent", kept.len() + 2);
}

#[test]
fn an_unknown_trigger_is_kept_as_sent_and_gated_as_unknown() {
    let server = server();
    let triggers = [
        (json!("Eye_Blink"), "Eye_Blink"),
        (json!("<script>alert(1)</script>"), "<script>alert(1)</script>"),
        (json!("'; DROP TABLE captures; --"), "'; DROP TABLE captures; --"),
        (json!(" INTERVAL"), " INTERVAL"),
        (json!("INTERVAL\r\nSet-Cookie: a=b"), "INTERVAL\r\nSet-Cookie: a=b"),
        (json!("\u{131}nterval"), "\u{131}nterval"),
        (json!(""), ""),
        (json!(5), "5"),
        (json!(true), "true"),
        (json!(["INTERVAL"]), r#"["INTERVAL"]"#),
        (json!({"trigger": "INTERVAL"}), r#"{"trigger":"INTERVAL"}"#),
    ];
    for (trigger, as_kept) in &triggers {
        let metadata = json!({"trigger": trigger}).to_string();
        assert_skipped(&server, as_kept, &upload(&server, metadata.as_bytes(), true), as_kept);
    }
    // Without settings every trigger is wanted: there it is stored as it came.
    let session = format!("/api/v1/sessions/{}", server.demo().participant.session_id);
    made(&server, "PATCH", &session, &json!({"camera_settings_id": null}));
    for (trigger, as_kept) in &triggers {
        let row = stored(&server, as_kept, json!({"trigger": trigger}).to_string().as_bytes());
        assert_eq!(row["capture_trigger"], *as_kept);
        assert_eq!(row["metadata"]["trigger"], *trigger);
    }
    println!("metadata: {} unknown triggers", triggers.len());
}

/// The single upload's `trigger` and `timing` are fields of the form.
#[test]
fn the_fields_of_a_single_upload() {
    let server = server();
    let participant = &server.demo().participant;
    let photo = photo::jpeg(8, 8, 1);
    let target = format!("/assessment/camera/upload-single/{}", participant.session_id);
    let send = |trigger: &[u8], timing: &[u8]| {
        let form = Form::new()
            .raw_part_bytes(b"Content-Disposition: form-data; name=\"trigger\"", trigger)
            .file("image", "frame.jpg", "image/jpeg", &photo)
            .raw_part_bytes(b"Content-Disposition: form-data; name=\"timing\"", timing);
        Request::post(&target).cookie(&participant.cookie).form(&form).send(server.address()).unwrap()
    };
    let deep = [r#"{"a":"#.repeat(33), "}".repeat(33)].concat();
    let (long_trigger, long_timing) = ([b't'].repeat(100_000), [b' '].repeat(65_537));
    let refusals: [Refused<'_>; 9] = [
        ("NUL in the trigger", b"INTERVAL\0", b"{}", 422, "unstorable_text"),
        ("no trigger", b"", b"{}", 409, "trigger_not_allowed"),
        ("another trigger", b"BUTTON_CLICK", b"{}", 409, "trigger_not_allowed"),
        ("a trigger that is no UTF-8", b"INTERVAL\xFF", b"{}", 409, "trigger_not_allowed"),
        ("a trigger of 100 KB", &long_trigger, b"{}", 413, "metadata_too_large"),
        ("timing too deep", b"INTERVAL", deep.as_bytes(), 413, "metadata_too_large"),
        ("timing too long", b"INTERVAL", &long_timing, 413, "metadata_too_large"),
        ("NUL in timing", b"INTERVAL", br#"{"a":"\u0000"}"#, 422, "unstorable_text"),
        ("a lone surrogate in timing", b"INTERVAL", br#"{"a":"\udead"}"#, 422, "unstorable_text"),
    ];
    for (name, trigger, timing, status, code) in &refusals {
        assert_refused(&server, name, &send(trigger, timing), *status, code);
    }
    let taken: [(&[u8], &[u8], Value); 4] = [
        (b"INTERVAL", br#"{"a":1}"#, json!({"a": 1})),
        (b"interval", b"[1]", json!({})),
        (b"INTERVAL", b"{", json!({})),
        (b"INTERVAL", b"", json!({})),
    ];
    for (trigger, timing, kept) in &taken {
        let answer = send(trigger, timing);
        assert_eq!(answer.status, 200, "{answer:?}");
        let row = rows_of_catalog(&server).remove(0);
        assert_eq!((&row["metadata"]["timing"], &row["capture_trigger"]), (kept, &json!("INTERVAL")), "{row}");
        clear(&server);
    }
    println!("metadata: {} refusals and {} taken of single uploads", refusals.len(), taken.len());
}
