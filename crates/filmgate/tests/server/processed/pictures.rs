//! Thumbnails and previews: upright, in the format asked for, without a trace of the camera.

use testkit::{Request, photo};

use super::{fetch, processed, size_of};
use crate::images::made;
use crate::support::{as_admin, code_of, files_of_store, new_user, participant, undecodable, with_comment};
use crate::tasks::{as_person, hasty, idle, queue};

const CANARY: &[u8] = b"52.5200 N 13.4050 E, serial number 4711";

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn are_upright_of_their_size_and_bare() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    // Stored lying down; orientation 6 says that it is to be turned by a quarter.
    let plain = with_comment(&photo::jpeg(640, 480, 1), CANARY);
    let photo = [&plain[..2], &made::exif(6, 0), &plain[2..]].concat();
    let (filename, state) = processed(&server, &mut api, std::slice::from_ref(&photo)).remove(0);
    assert_eq!(state, "SUCCESS");
    let cases = [
        ("?size=thumb", "", "image/jpeg", (240, 320)),
        ("?size=thumb", "image/webp", "image/webp", (240, 320)),
        ("?size=thumb", "image/avif,image/webp,image/*,*/*;q=0.8", "image/webp", (240, 320)),
        ("?size=thumb", "image/webp;q=0, image/jpeg", "image/jpeg", (240, 320)),
        ("?size=preview", "image/jpeg", "image/jpeg", (480, 640)),
        ("?size=preview", "image/*", "image/webp", (480, 640)),
    ];
    for (query, accept, content_type, size) in cases {
        let answer = fetch(&api, &filename, query, &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{query} {accept}");
        assert_eq!(size_of(&answer), size, "{query} {accept}");
        for trace in [CANARY, b"Exif", b"EXIF", b"http://ns.adobe.com"] {
            assert!(!holds(&answer.body, trace), "{query} {accept} holds {}", trace.escape_ascii());
        }
        let expected = [
            ("cache-control", "private, no-cache"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("cross-origin-resource-policy", "same-origin"),
            ("vary", "Accept, Cookie, Authorization"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{query} {accept}");
        }
    }
    for query in ["", "?size=original"] {
        let answer = fetch(&api, &filename, query, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
        assert!(answer.body == photo, "the original is kept to the byte");
    }
    for query in ["?size=", "?size=THUMB", "?size=huge", "?size=thumb&size=preview"] {
        assert_eq!(fetch(&api, &filename, query, &[]).status, 400, "{query}");
    }
}

#[test]
fn are_not_there_before_the_photo_is_processed_and_gone_with_it() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    queue(&mut api, &[photo::jpeg(64, 48, 1)]);
    let filename = api.listed_filenames().unwrap().remove(0);
    for size in ["thumb", "preview"] {
        let early = fetch(&api, &filename, &format!("?size={size}"), &[]);
        assert_eq!((early.status, code_of(&early).as_str()), (404, "not_processed_yet"));
        assert_eq!(early.header("retry-after"), Some("1"));
    }
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let (filename, _) = processed(&server, &mut api, &[photo::jpeg(64, 48, 2)]).remove(0);
    assert_eq!(fetch(&api, &filename, "?size=thumb", &[]).status, 200);
    // Another's is absent in every size.
    let stranger = new_user(&server);
    for query in ["", "?size=thumb", "?size=preview", "?size=original"] {
        let codes = [filename.as_str(), "never.jpg"].map(|filename| {
            let answer = as_person(&server, &stranger, "GET", &format!("/assessment/camera/file/{filename}{query}"));
            (answer.status, code_of(&answer))
        });
        assert_eq!(codes[0], (404, "not_found".to_owned()), "{query}");
        assert_eq!(codes[0], codes[1], "{query}");
    }
    let id = filename.trim_end_matches(".jpg");
    assert_eq!(as_admin(&server, "DELETE", &format!("/api/v1/captures/{id}"), None).status, 204);
    let gone = fetch(&api, &filename, "?size=thumb", &[]);
    assert_eq!((gone.status, code_of(&gone).as_str()), (404, "not_found"));
    assert!(files_of_store(&server).is_empty(), "{:?}", files_of_store(&server));
}

#[test]
fn what_cannot_be_decoded_is_kept_and_shown_to_nobody() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let photo = undecodable();
    let (filename, state) = processed(&server, &mut api, std::slice::from_ref(&photo)).remove(0);
    assert_eq!(state, "FAILURE");
    for query in ["", "?size=thumb", "?size=preview", "?size=original"] {
        let answer = fetch(&api, &filename, query, &[]);
        assert_eq!((answer.status, code_of(&answer).as_str()), (409, "photo_quarantined"), "{query}");
        assert!(answer.text().contains("cannot be decoded"), "it says why: {answer:?}");
    }
    let target = format!("/assessment/camera/file/{filename}?size=original");
    let to_admin = Request::get(&target).cookie(&server.demo().admin.cookie).send(server.address()).unwrap();
    assert_eq!(to_admin.status, 200);
    assert!(to_admin.body == photo && to_admin.header("content-disposition").unwrap().starts_with("attachment"));
    // Listed as what it is; in the contract's own list as ever.
    let listed = as_admin(&server, "GET", "/api/v1/captures?quarantined=true", None).json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["processing"]["is_quarantined"]), (1, &true.into()));
    assert_eq!(api.listed_filenames().unwrap(), [filename]);
    assert!(server.fsck(true).unwrap().is_clean());
}
