//! What a deployment may choose: whether a photo is decoded before its answer, and whether its metadata stays.

use std::time::Duration;

use serde_json::Value;
use testkit::server::Server;
use testkit::{api, photo};

use crate::support::{
    as_admin, assert_refused, assert_stored, builder, files_of_store, holds_within, undecodable, upload_of,
    with_comment,
};

fn capture(server: &Server, id: &str) -> Value {
    as_admin(server, "GET", &format!("/api/v1/captures/{id}"), None).json()
}

#[test]
fn with_verify_decode_what_cannot_be_decoded_is_refused_before_its_answer() {
    let server = builder().env("FILMGATE__INGEST__VERIFY", "decode").start().unwrap();
    let answer = upload_of(&server, &undecodable()).send(server.address()).unwrap();
    assert_refused(&server, "a broken picture", &answer, 422, "image_undecodable");
    let whole = photo::jpeg(64, 48, 2);
    let answer = upload_of(&server, &whole).send(server.address()).unwrap();
    assert_stored(&server, "a whole one", &answer, &[&whole]);
    // The control: without the setting the same photo is taken, and its task fails.
    let server = builder().start().unwrap();
    let answer = upload_of(&server, &undecodable()).send(server.address()).unwrap();
    let id = api::captures(&answer).unwrap()[0].id.clone();
    assert!(holds_within(Duration::from_secs(60), || capture(&server, &id)["processing"]["state"] == "FAILURE"));
}

#[test]
fn with_original_strip_the_metadata_goes_and_the_picture_stays() {
    const CANARY: &[u8] = b"taken at 52.5200 north, 13.4050 east";
    let server = builder().env("FILMGATE__PROCESSING__ORIGINAL", "strip").start().unwrap();
    let bare = photo::jpeg(64, 48, 3);
    let sent = with_comment(&bare, CANARY);
    let request = upload_of(&server, &sent).header("Idempotency-Key", "strip-1");
    let answer = request.send(server.address()).unwrap();
    let stored = api::captures(&answer).unwrap()[0].clone();
    assert_eq!(stored.sha256, api::sha256(&sent), "the receipt is for what was sent");
    let is_processed = || capture(&server, &stored.id)["processing"]["state"] == "SUCCESS";
    assert!(holds_within(Duration::from_secs(60), is_processed));
    let served = server.participant().file(&stored.filename).unwrap().body;
    assert!(!served.windows(CANARY.len()).any(|bytes| bytes == CANARY));
    let scan = |jpeg: &[u8]| jpeg[jpeg.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap()..].to_vec();
    assert_eq!(scan(&served), scan(&bare), "not one pixel is touched");
    let row = capture(&server, &stored.id);
    assert_eq!(row["sha256"], api::sha256(&served));
    assert_eq!(row["processing"]["received_sha256"], api::sha256(&sent));
    // Nowhere in the folder are the old bytes any more, and a retry still gets its receipt.
    let is_gone = || {
        let holds = |path: &std::path::PathBuf| {
            std::fs::read(path).is_ok_and(|bytes| bytes.windows(CANARY.len()).any(|bytes| bytes == CANARY))
        };
        !files_of_store(&server).iter().any(holds)
    };
    assert!(holds_within(Duration::from_secs(20), is_gone), "{:?}", files_of_store(&server));
    let again = request.send(server.address()).unwrap();
    assert_eq!(api::captures(&again).unwrap(), [stored]);
    assert!(server.fsck(true).unwrap().is_clean());
}
