//! Validators and ranges of a served photo (RFC 9110, sections 8.8, 13 and 14).

use testkit::{Request, photo};

use super::fetch;
use crate::support::participant;
use crate::tasks::{idle, queue};

#[test]
fn one_range_is_served_and_of_several_the_whole() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(300_000, 1);
    queue(&mut api, std::slice::from_ref(&photo));
    let filename = api.listed_filenames().unwrap().remove(0);
    let end = photo.len() - 1;
    let whole = fetch(&api, &filename, "", &[]);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let etag = whole.header("etag").unwrap().to_owned();
    let parts = [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=0-99".to_owned(), 0, 99),
        ("bytes=131000-132000".to_owned(), 131_000, 132_000),
        ("bytes=100-".to_owned(), 100, end),
        ("bytes=-1".to_owned(), end, end),
        ("bytes=-999999999".to_owned(), 0, end),
        (format!("bytes={end}-{end}"), end, end),
        ("bytes=200000-99999999999999999999".to_owned(), 200_000, end),
        ("Bytes=5-6".to_owned(), 5, 6),
    ];
    for (range, first, last) in &parts {
        let answer = fetch(&api, &filename, "", &[("Range", range), ("If-Range", &etag)]);
        assert_eq!(answer.status, 206, "{range}: {answer:?}");
        let expected = format!("bytes {first}-{last}/{}", photo.len());
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
        assert!(answer.body == photo[*first..=*last], "{range}: other bytes");
    }
    let wholes: [(&str, Option<&str>); 8] = [
        ("bytes=0-1,3-4", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
        ("lines=0-1", None),
        ("bytes", None),
        ("bytes=0-1", Some("\"another\"")),
        ("bytes=0-1", Some("W/\"weak\"")),
    ];
    for (range, if_range) in wholes {
        let mut headers = vec![("Range", range)];
        headers.extend(if_range.map(|etag| ("If-Range", etag)));
        let answer = fetch(&api, &filename, "", &headers);
        assert!(answer.status == 200 && answer.body == photo, "{range} {if_range:?}: {}", answer.status);
    }
    for range in [format!("bytes={}-", photo.len()), "bytes=-0".to_owned()] {
        let answer = fetch(&api, &filename, "", &[("Range", &range)]);
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{}", photo.len()).as_str()));
    }
    let known = [etag.clone(), "*".to_owned(), format!("\"x\", {etag}"), format!("W/{etag}")];
    for known in &known {
        let answer = fetch(&api, &filename, "", &[("If-None-Match", known), ("Range", "bytes=0-1")]);
        assert!(answer.status == 304 && answer.body.is_empty(), "{known}: {}", answer.status);
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(fetch(&api, &filename, "", &[("If-None-Match", "\"other\"")]).status, 200);
    let target = format!("/assessment/camera/file/{filename}");
    let mut head = Request::get(&target).cookie(&api.cookie).header("Range", "bytes=0-9");
    head.method = "HEAD".to_owned();
    let head = head.send(server.address()).unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("300000")), "a range is for GET alone");
    println!("{} ranges, {} that are none, {} validators", parts.len(), wholes.len(), known.len());
}
