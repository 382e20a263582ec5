//! The reader of forms beside another's, multra, on forms that are whole, broken and cut anywhere.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use multra::{Constraints, SizeLimit};
use testkit::random::Random;

use super::{HEAD_BYTES_MAX, Most, Multipart, PADDING_BYTES_MAX, PREAMBLE_BYTES_MAX};
use crate::Refusal;
use crate::disposition::Filename;
use crate::receive::BodyError;

const BOUNDARY: &str = "--b-\u{62}-";
const BYTES_MAX: u64 = 6_000;
const PARTS_MAX: usize = 5;

/// Of each part its name, what is known of its filename, and its bytes.
type Read = Vec<(String, Filename, Vec<u8>)>;

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn body(pieces: &[Bytes]) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Unpin + Send + use<> {
    stream::iter(pieces.iter().cloned().map(Ok).collect::<Vec<_>>())
}

async fn ours(pieces: &[Bytes]) -> Result<Read, Refusal> {
    let mut form = Multipart::new(body(pieces), BOUNDARY, Most { bytes: BYTES_MAX, parts: PARTS_MAX })?;
    let mut read = Vec::new();
    while let Some(part) = form.next_part().await? {
        // Where there is none the form is refused.
        let name = part.name.ok_or(Refusal::NoImage)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = form.chunk().await? {
            assert!(!chunk.is_empty(), "an empty piece is no piece");
            bytes.extend_from_slice(&chunk);
        }
        assert!(form.chunk().await?.is_none(), "a part that has ended stays ended");
        read.push((name, part.filename, bytes));
    }
    assert!(form.next_part().await?.is_none(), "a form that has ended stays ended");
    Ok(read)
}

async fn theirs(pieces: &[Bytes]) -> Option<Read> {
    let sizes = SizeLimit::new()
        .whole_stream(BYTES_MAX)
        .preamble(PREAMBLE_BYTES_MAX as u64)
        .headers(HEAD_BYTES_MAX as u64)
        .boundary_padding(PADDING_BYTES_MAX as u64);
    let constraints = Constraints::new().max_fields(PARTS_MAX).size_limit(sizes);
    let mut form = multra::Multipart::try_with_constraints(body(pieces), BOUNDARY, constraints).ok()?;
    let mut read = Vec::new();
    while let Some(mut field) = form.next_field().await.ok()? {
        let name = field.name()?.to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.ok()? {
            bytes.extend_from_slice(&chunk);
        }
        let filename = match field.file_name() {
            None => Filename::Absent,
            Some("") => Filename::Empty,
            Some(_) => Filename::Given,
        };
        read.push((name, filename, bytes));
    }
    Some(read)
}

/// What forms are made of, good and bad.
fn fragment(random: &mut Random) -> Vec<u8> {
    let delimiter = format!("\r\n--{BOUNDARY}");
    match random.between(0, 24) {
        0..=3 => format!("{delimiter}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n").into(),
        4..=6 => format!("{delimiter}\r\ncontent-disposition: form-data; name=b; filename=\"c.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n").into(),
        7 => format!("{delimiter}\r\nX: y\r\nContent-Disposition: form-data; filename=\"\"; name=\"d;e\\\"\"\r\n\r\n").into(),
        8 | 9 => format!("{delimiter}--").into(),
        10 => format!("{delimiter}--\r\n").into(),
        11 => delimiter.into(),
        12 => delimiter[..usize::try_from(random.between(0, delimiter.len() as u64)).unwrap()].into(),
        13 => b"\r\n\r\n".into(),
        14 => b"\r\n".into(),
        15 => b"\r".into(),
        16 => b"--".into(),
        17 => b" \t".into(),
        18 => format!("--{BOUNDARY}").into(),
        19 => vec![b' '; usize::try_from(random.between(0, 2_000)).unwrap()],
        20 => vec![b'x'; usize::try_from(random.between(0, 3_000)).unwrap()],
        21 => b"Content-Disposition: form-data; name=\xC3\xA9\r\n".into(),
        _ => (0..random.between(0, 90)).map(|_| random.between(0, 256).to_le_bytes()[0]).collect(),
    }
}

fn form(random: &mut Random) -> Vec<u8> {
    let mut whole: Vec<u8> = (0..random.between(0, 12)).flat_map(|_| fragment(random)).collect();
    // Most begin and end as forms do.
    if random.between(0, 4) > 0 {
        whole = [format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"first\"\r\n\r\n").as_bytes(), &whole]
            .concat();
    }
    if random.between(0, 4) > 0 {
        whole.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    }
    whole
}

/// Cut anywhere, sometimes into single bytes.
fn cut(random: &mut Random, whole: &[u8]) -> Vec<Bytes> {
    let longest = [1, 7, 80, 4_000][usize::try_from(random.between(0, 4)).unwrap()];
    let mut pieces = Vec::new();
    let mut rest = Bytes::copy_from_slice(whole);
    while !rest.is_empty() {
        let length = usize::try_from(random.between(0, longest)).unwrap() + 1;
        pieces.push(rest.split_to(length.min(rest.len())));
    }
    pieces
}

#[tokio::test]
async fn forms_are_read_as_another_reader_reads_them() {
    let mut random = Random::new(0x0F11_6A7E);
    let (mut read, mut refused) = (0, 0);
    for number in 0..12_000 {
        let whole = form(&mut random);
        let pieces = cut(&mut random, &whole);
        let ours = ours(&pieces).await;
        let theirs = theirs(&pieces).await;
        match (&ours, &theirs) {
            (Ok(ours), Some(theirs)) => {
                assert_eq!(ours, theirs, "form {number}: {}", whole.escape_ascii());
                read += 1;
            }
            (Err(_), None) => refused += 1,
            _ => panic!("form {number}: {ours:?} beside {theirs:?}\n{}", whole.escape_ascii()),
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused: too few of one kind to say anything");
}

#[tokio::test]
async fn bytes_come_through_however_they_are_cut() {
    // Ends and beginnings of lines and of the delimiter, again and again.
    let photo: Vec<u8> =
        [&b"\r"[..], b"\r\n", b"\r\n-", b"\r\n--", b"\r\n----b-", b"\r\r\n----b-\r\n", b"x"].concat().repeat(20);
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"p\"; filename=\"f\"\r\n\r\n");
    let whole = [head.as_bytes(), &photo, format!("\r\n--{BOUNDARY}--").as_bytes()].concat();
    for length in 1..whole.len() {
        let pieces: Vec<Bytes> = whole.chunks(length).map(Bytes::copy_from_slice).collect();
        let read = ours(&pieces).await.unwrap();
        assert_eq!(read, [("p".to_owned(), Filename::Given, photo.clone())], "in pieces of {length}");
    }
}

#[tokio::test]
async fn a_part_is_a_slice_of_what_came() {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=p\r\n\r\n");
    let piece = Bytes::from([head.as_bytes(), &[7; 500], format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat());
    let pieces = [piece.slice(..1), piece.slice(1..)];
    let mut form = Multipart::new(body(&pieces), BOUNDARY, Most { bytes: 1 << 20, parts: 1 }).unwrap();
    form.next_part().await.unwrap().unwrap();
    let chunk = form.chunk().await.unwrap().unwrap();
    assert_eq!(chunk.len(), 500);
    assert!(!piece.as_ptr_range().contains(&chunk.as_ptr()), "the line before it came in two pieces and was joined");
    let mut form =
        Multipart::new(body(std::slice::from_ref(&piece)), BOUNDARY, Most { bytes: 1 << 20, parts: 1 }).unwrap();
    form.next_part().await.unwrap().unwrap();
    assert!(piece.as_ptr_range().contains(&form.chunk().await.unwrap().unwrap().as_ptr()));
}
