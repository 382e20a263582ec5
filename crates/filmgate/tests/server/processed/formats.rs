//! Which format a client is given, and how each representation is told from the others.

use std::collections::BTreeSet;

use testkit::{Request, photo};

use super::{fetch, processed};
use crate::images::made;
use crate::support::{as_admin, code_of, participant};
use crate::tasks::hasty;

/// What a client accepts; whether it gets WebP, where both are there.
const CASES: &[(&[&str], bool)] = &[
    (&[], false),
    (&[""], false),
    (&["*/*"], false),
    (&["image/jpeg"], false),
    (&["image/png,*/*;q=0.8"], false),
    (&["text/html"], false),
    (&["image/webp"], true),
    (&["IMAGE/WEBP"], true),
    (&["image/webp;q=0.001"], true),
    (&["image/webp; q=1.000"], true),
    (&["image/webp;q=0"], false),
    (&["image/webp;q=0.0"], false),
    (&["image/webp;q=0.000, */*"], false),
    (&["image/webp;q=0, image/*"], false),
    (&["image/*"], true),
    (&["image/*;q=0"], false),
    (&["image/*;q=0, image/webp"], true),
    (&["image/webp,image/jpeg"], true),
    (&["image/jpeg,image/webp"], true),
    (&["image/jpeg;q=0.5,image/webp"], true),
    (&["image/jpeg,image/webp;q=0.5"], false),
    (&["image/jpeg;q=0.5,image/webp;q=0.5"], true),
    (&["image/webp;q=0.5,*/*"], false),
    (&["image/webp;q=0.8,*/*;q=0.5"], true),
    (&["image/webp", "image/jpeg;q=0.1"], true),
    (&["image/jpeg", "image/webp;q=0.1"], false),
    (&["image/webp;level=1;q=0.9"], true),
    (&["image/webp;q=x"], false),
    (&["image/webp;q=-1"], false),
    (&["image/webp;q=2"], true),
    (&["image/webp;q=nan"], false),
    (&["image/webp;q=inf"], false),
    (&["image/webpp"], false),
    (&["webp"], false),
    (&["text/x;a=\"image/webp,\""], false),
    (&["text/x;a=\", image/webp\", image/webp"], true),
    // As browsers ask for an <img>.
    (&["image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"], true),
    (&["image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"], true),
    (&["image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"], true),
];

#[test]
fn the_format_is_the_one_that_is_accepted() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let (filename, _) = processed(&server, &mut api, &[photo::jpeg(320, 240, 1)]).remove(0);
    let mut etags = BTreeSet::new();
    for (accept, is_webp) in CASES {
        let headers: Vec<(&str, &str)> = accept.iter().map(|accept| ("Accept", *accept)).collect();
        for size in ["thumb", "preview"] {
            let answer = fetch(&api, &filename, &format!("?size={size}"), &headers);
            let (kind, extension) = if *is_webp { ("image/webp", "webp") } else { ("image/jpeg", "jpg") };
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept:?}");
            let starts = if *is_webp { b"RIFF".as_slice() } else { &[0xFF, 0xD8] };
            assert!(answer.body.starts_with(starts), "{accept:?}");
            let id = filename.trim_end_matches(".jpg");
            let name = format!("inline; filename=\"{id}.{size}.{extension}\"");
            assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
            let etag = format!("\"{}\"", testkit::api::sha256(&answer.body));
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
            etags.insert(etag);
        }
        assert_eq!(fetch(&api, &filename, "", &headers).header("content-type"), Some("image/jpeg"), "{accept:?}");
    }
    // Thumb and preview in two formats. (A photo no larger than either is its size in both.)
    assert!((2..=4).contains(&etags.len()), "{etags:?}");
    assert_eq!(fetch(&api, &filename, "", &[]).header("vary"), Some("Cookie, Authorization"));
    println!("{} ways to accept, of two sizes", CASES.len());
}

#[test]
fn each_representation_has_validators_and_ranges_of_its_own() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let (filename, _) = processed(&server, &mut api, &[photo::jpeg(640, 480, 1)]).remove(0);
    let representations =
        [("?size=thumb", "image/webp"), ("?size=thumb", "image/jpeg"), ("?size=preview", "image/webp"), ("", "")];
    let wholes: Vec<_> =
        representations.iter().map(|(query, accept)| fetch(&api, &filename, query, &[("Accept", accept)])).collect();
    for (at, (query, accept)) in representations.iter().enumerate() {
        for (other, whole) in wholes.iter().enumerate() {
            let etag = whole.header("etag").unwrap();
            let known = fetch(&api, &filename, query, &[("Accept", accept), ("If-None-Match", etag)]);
            assert_eq!(known.status, if at == other { 304 } else { 200 }, "{query} {accept}");
            let range = [("Accept", *accept), ("Range", "bytes=2-11"), ("If-Range", etag)];
            let part = fetch(&api, &filename, query, &range);
            assert_eq!(part.status, if at == other { 206 } else { 200 }, "{query} {accept}");
            let body = &wholes[at].body;
            assert!(part.body == if at == other { &body[2..=11] } else { &body[..] }, "{query} {accept}");
        }
        let target = format!("/assessment/camera/file/{filename}{query}");
        let head = Request::new("HEAD", &target).cookie(&api.cookie).header("Accept", accept);
        let head = head.send(server.address()).unwrap();
        assert_eq!((head.status, head.header("etag")), (200, wholes[at].header("etag")), "{query} {accept}");
        assert_eq!(head.header("content-length"), Some(wholes[at].body.len().to_string().as_str()));
    }
}

#[test]
fn a_server_that_makes_one_format_gives_that_one() {
    for (format, kind) in [("jpeg", "image/jpeg"), ("webp", "image/webp")] {
        let server = hasty().env("FILMGATE__PROCESSING__FORMATS", format).start().unwrap();
        let mut api = participant(&server);
        let (filename, _) = processed(&server, &mut api, &[photo::jpeg(64, 48, 1)]).remove(0);
        for accept in ["image/webp", "image/jpeg", "text/html", "image/webp;q=0,image/jpeg;q=0"] {
            let answer = fetch(&api, &filename, "?size=thumb", &[("Accept", accept)]);
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept}");
        }
    }
}

#[test]
fn of_a_format_that_cannot_be_decoded_there_is_the_original_alone() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let photo = made::heic(64, 48, b"data that no decoder here reads");
    let (filename, state) = processed(&server, &mut api, std::slice::from_ref(&photo)).remove(0);
    assert_eq!(state, "SUCCESS", "nothing is wrong with it");
    for size in ["thumb", "preview"] {
        let answer = fetch(&api, &filename, &format!("?size={size}"), &[]);
        assert_eq!((answer.status, code_of(&answer).as_str()), (404, "no_derivative"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), None, "there will never be one");
        assert!(answer.text().to_lowercase().contains("heic"), "it says why: {answer:?}");
    }
    for query in ["", "?size=original"] {
        let answer = fetch(&api, &filename, query, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/heic")));
        assert!(answer.body == photo);
    }
    let id = filename.trim_end_matches(".heic");
    let processing = as_admin(&server, "GET", &format!("/api/v1/captures/{id}"), None).json()["processing"].clone();
    assert_eq!((&processing["state"], &processing["is_quarantined"]), (&"SUCCESS".into(), &false.into()));
    assert!(processing["error"].is_string() && processing["derivatives"].as_array().unwrap().is_empty());
}
