//! What is made of a photo, and how it is served: sizes, formats, ranges, signs of quality, quarantine.

mod detail;
mod formats;
mod pictures;
mod quality;
mod racing;
mod ranges;

use std::io::Cursor;

use testkit::server::Server;
use testkit::{Api, Request, Response};

use crate::tasks::{ended, queue};

/// Uploads photos and waits until each is processed; their filenames and the states of their tasks.
#[track_caller]
pub fn processed(server: &Server, api: &mut Api, photos: &[Vec<u8>]) -> Vec<(String, String)> {
    let before = api.listed_filenames().unwrap().len();
    let tasks = queue(api, photos);
    let states = tasks.iter().map(|id| ended(server, id)["state"].as_str().unwrap().to_owned());
    api.listed_filenames().unwrap().into_iter().skip(before).zip(states).collect()
}

/// Fetches a photo or a picture of it with these headers.
pub fn fetch(api: &Api, filename: &str, query: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::get(&format!("/assessment/camera/file/{filename}{query}")).cookie(&api.cookie);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send(api.address).unwrap()
}

/// Width and height of a picture.
#[track_caller]
pub fn size_of(picture: &Response) -> (u32, u32) {
    match picture.header("content-type") {
        Some("image/webp") => image_webp::WebPDecoder::new(Cursor::new(&picture.body)).unwrap().dimensions(),
        Some("image/jpeg") => {
            // The frame's header: SOF0 or SOF2, then length, precision, height, width.
            let bytes = &picture.body;
            let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0] || pair == [0xFF, 0xC2]).unwrap();
            let number = |at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            (number(at + 7), number(at + 5))
        }
        other => panic!("neither: {other:?}"),
    }
}
