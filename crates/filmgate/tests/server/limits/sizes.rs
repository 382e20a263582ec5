//! How large and how many: to the byte.

use serde_json::json;
use testkit::api::upload_form;
use testkit::{Form, Server, Shot, photo};

use super::limited;
use crate::support::{assert_refused, assert_stored, batch, clear};

const PHOTO_BYTES_MAX: usize = 100_000;
const REQUEST_BYTES_MAX: usize = 250_000;

fn small() -> Server {
    limited(&[
        ("INGEST__UPLOAD_BYTES_MAX", "100000"),
        ("INGEST__REQUEST_BYTES_MAX", "250000"),
        ("INGEST__METADATA_BYTES_MAX", "1000"),
        ("INGEST__METADATA_DEPTH_MAX", "3"),
        ("INGEST__CAPTURES_PER_REQUEST_MAX", "3"),
        ("INGEST__PARTS_PER_REQUEST_MAX", "9"),
    ])
}

fn photos(sizes: &[usize]) -> Vec<Vec<u8>> {
    (1..).zip(sizes).map(|(seed, size)| photo::jpeg_bytes(*size, seed)).collect()
}

fn form(server: &Server, photos: &[Vec<u8>]) -> Form {
    let shots: Vec<Shot> = photos.iter().cloned().map(Shot::interval).collect();
    upload_form(&server.demo().participant.session_id, &shots)
}

#[test]
fn a_byte_too_many_is_refused() {
    let server = small();
    let of = |sizes: &[usize]| form(&server, &photos(sizes));
    let one = PHOTO_BYTES_MAX;
    let frame = || of(&[2_000]);
    let around = of(&[one, one, 2_000]).bytes().len() - 2_000;
    let parts = |count: usize| (3..count).fold(frame(), |form, index| form.text(&format!("note_{index}"), "n"));
    let too_large = "metadata_too_large";
    let of_one = form(&server, &[]).file("capture_0", "frame.jpg", "image/jpeg", &photos(&[2_000])[0]);
    let cases = [
        ("a photo of a byte more", of(&[one + 1]), "photo_too_large"),
        ("the last of three", of(&[2_000, 2_000, one + 1]), "photo_too_large"),
        ("a file that is ignored", frame().file("avatar", "a.jpg", "", &vec![0; one + 1]), "photo_too_large"),
        ("a request of a byte more", of(&[one, one, REQUEST_BYTES_MAX - around + 1]), "request_too_large"),
        ("four photos", of(&[2_000; 4]), "too_many_captures"),
        ("ten parts", parts(10), "too_many_parts"),
        ("a text of a byte more", frame().text("note", &"n".repeat(1_001)), too_large),
        ("metadata four deep", of_one.json("metadata_0", &json!({"a": {"b": [{}]}})), too_large),
    ];
    for (name, form, code) in &cases {
        let answer = batch(&server, form).send(server.address()).unwrap();
        assert_refused(&server, name, &answer, 413, code);
    }

    let exact: [&[usize]; 3] = [&[one], &[one, one, REQUEST_BYTES_MAX - around], &[2_000; 3]];
    for sizes in exact {
        let photos = photos(sizes);
        let answer = batch(&server, &form(&server, &photos)).send(server.address()).unwrap();
        let photos: Vec<&[u8]> = photos.iter().map(Vec::as_slice).collect();
        assert_stored(&server, &format!("photos of {sizes:?} bytes"), &answer, &photos);
        clear(&server);
    }
    for form in [parts(9), frame().text("note", &"n".repeat(1_000))] {
        let answer = batch(&server, &form).send(server.address()).unwrap();
        assert_stored(&server, "all that is allowed", &answer, &[&photos(&[2_000])[0]]);
        clear(&server);
    }
    println!("limits: {} sizes refused, {} just fit", cases.len(), exact.len() + 2);
}
