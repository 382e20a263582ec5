//! What no library makes, signed with the right key: what is inside must still not hurt. (What libraries make is in
//! `tests/flask`.)

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use jiff::Timestamp;
use miniz_oxide::deflate::compress_to_vec_zlib;

use super::{COOKIE_BYTES_MAX, JSON_BYTES_MAX, Session, SessionReader, hmac_of};
use crate::claim::UserId;
use crate::flask::keys::Key;
use crate::refused::Reason;

const NOW: i64 = 1_800_000_000;
const KEY: &str = "a key";

fn reader(keys: &[&str]) -> SessionReader {
    let keys: Vec<Key> = keys.iter().map(|text| Key::parse(text).unwrap()).collect();
    SessionReader::new(&keys, "cookie-session", Duration::from_hours(1))
}

fn signed(payload: &str, at: i64) -> String {
    let at = URL_SAFE_NO_PAD.encode(u64::try_from(at).unwrap().to_be_bytes());
    let key = hmac_of(KEY.as_bytes()).chain_update("cookie-session").finalize().into_bytes();
    let text = format!("{payload}.{at}");
    let signature = hmac_of(&key).chain_update(&text).finalize().into_bytes();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn plain(json: &[u8]) -> String {
    signed(&URL_SAFE_NO_PAD.encode(json), NOW)
}

fn packed(json: &[u8]) -> String {
    signed(&format!(".{}", URL_SAFE_NO_PAD.encode(compress_to_vec_zlib(json, 9))), NOW)
}

fn read(cookie: &str) -> Result<Session, Reason> {
    reader(&[KEY]).read(cookie.as_bytes(), Timestamp::from_second(NOW).unwrap())
}

#[test]
fn a_cookie_that_unpacks_to_megabytes_is_refused_before_it_does() {
    let largest = JSON_BYTES_MAX - r#"{"_user_id":"42","more":""}"#.len();
    let json = |length: usize| format!(r#"{{"_user_id":"42","more":"{}"}}"#, "x".repeat(length)).into_bytes();
    assert!(read(&packed(&json(largest))).is_ok());
    assert_eq!(read(&packed(&json(largest + 1))).unwrap_err(), Reason::Oversized);
    let bomb = packed(&json(5_000_000));
    assert!(bomb.len() < COOKIE_BYTES_MAX, "small enough to be sent: {}", bomb.len());
    let began = Instant::now();
    assert_eq!(read(&bomb).unwrap_err(), Reason::Oversized);
    println!("{} bytes that would be 5,000,000: refused in {:?}", bomb.len(), began.elapsed());
}

#[test]
fn an_oversized_cookie_is_refused_unread() {
    let json = format!(r#"{{"_user_id":"42","more":"{}"}}"#, "x".repeat(COOKIE_BYTES_MAX));
    assert_eq!(read(&plain(json.as_bytes())).unwrap_err(), Reason::Oversized);
    assert_eq!(read(&"x".repeat(1_000_000)).unwrap_err(), Reason::Oversized);
}

#[test]
fn each_fault_has_its_reason() {
    let good = plain(br#"{"_user_id":"42"}"#);
    let cases = [
        ("", Reason::Malformed),
        ("x", Reason::Malformed),
        ("a.b", Reason::Malformed),
        (&good[1..], Reason::BadSignature),
        (&good[..good.len() - 1], Reason::BadSignature),
        (&format!("{good}A"), Reason::BadSignature),
        (&signed("e30", NOW - 3601), Reason::Expired),
        (&signed("e30", 0), Reason::Expired),
        (&signed("e30", NOW + 6), Reason::NotYetValid),
        (&signed("e30", i64::MAX), Reason::NotYetValid),
        (&signed("!", NOW), Reason::Malformed),
        (&signed(".e30", NOW), Reason::Malformed),
        (&plain(b"[]"), Reason::Malformed),
        (&plain(b"42"), Reason::Malformed),
        (&plain(b"{"), Reason::Malformed),
        (&plain(b"{} {}"), Reason::Malformed),
        (&plain("[".repeat(4_000).as_bytes()), Reason::Malformed),
        (&plain(format!(r#"{{"a":{}"#, "[".repeat(4_000)).as_bytes()), Reason::Malformed),
    ];
    for (cookie, reason) in &cases {
        assert_eq!(read(cookie).unwrap_err(), *reason, "{cookie}");
    }
    assert_eq!(read(&good).unwrap().user_id, Some(UserId::Text("42".to_owned())));
    assert!(read(&signed("e30", NOW + 5)).unwrap().is_empty, "another machine's clock may be a little ahead");
    let other = reader(&["another key"]).read(good.as_bytes(), Timestamp::from_second(NOW).unwrap());
    assert_eq!(other.unwrap_err(), Reason::BadSignature);
    let rotated =
        reader(&["another key", "base64:YSBrZXk"]).read(good.as_bytes(), Timestamp::from_second(NOW).unwrap());
    assert!(rotated.is_ok(), "a fallback, and as bytes");
    println!("{} faults", cases.len());
}

#[test]
fn what_of_a_session_counts() {
    let session = read(&plain(br#"{"_user_id":{" u":"5"},"_id":5,"_permanent":true,"_remember":"clear"}"#)).unwrap();
    assert_eq!(session.user_id, Some(UserId::Other));
    assert_eq!((session.identifier, session.is_permanent, session.remember_is_cleared), (None, true, true));
    for (permanent, expect) in
        [("0", false), ("1", true), ("null", false), ("\"\"", false), ("[0]", true), ("{}", false)]
    {
        let session = read(&plain(format!(r#"{{"_permanent":{permanent}}}"#).as_bytes())).unwrap();
        assert_eq!(session.is_permanent, expect, "{permanent}");
        assert!(!session.is_empty && session.user_id.is_none());
    }
}

/// Printed, not judged: a busy machine is no defect.
#[test]
fn what_a_cookie_costs() {
    let reader = reader(&["the key in force", "the one before", KEY]);
    let id = "0123456789abcdef".repeat(8);
    let json = format!(r#"{{"_fresh":true,"_id":"{id}","_user_id":"42","csrf_token":"{}"}}"#, &id[..40]);
    for (what, cookie) in [("plain", plain(json.as_bytes())), ("compressed", packed(json.as_bytes()))] {
        let now = Timestamp::from_second(NOW).unwrap();
        let began = Instant::now();
        for _ in 0..10_000 {
            assert!(std::hint::black_box(reader.read(cookie.as_bytes(), now)).is_ok());
        }
        println!("{what}, three keys, {} bytes: {:?} each", cookie.len(), began.elapsed() / 10_000);
    }
}
