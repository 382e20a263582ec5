//! HEIC by hand: boxes in boxes, and item locations that point at true offsets.

use std::io::{Read, Result, Seek, SeekFrom};

use super::{check, check_within, describe};
use crate::{DevelopError, ImageType, Limits, Recipe, develop, inspect, memory_bytes, strip, verify};

fn boxed(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap();
    [&length.to_be_bytes()[..], kind, content].concat()
}

/// Compatible brands stand one behind the other, as in the file.
fn file_type(major: &[u8], compatible: &[u8]) -> Vec<u8> {
    boxed(b"ftyp", &[major, &[0; 4], compatible].concat())
}

fn extent(width: u32, height: u32) -> Vec<u8> {
    boxed(b"ispe", &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat())
}

fn properties(extents: &[Vec<u8>]) -> Vec<u8> {
    boxed(
        b"iprp",
        &[boxed(b"ipco", &[boxed(b"hvcC", b"config"), extents.concat()].concat()), boxed(b"ipma", b"x")].concat(),
    )
}

/// Version 1, four-byte fields: of each item the construction method, offset and length.
fn locations(items: &[[u32; 3]]) -> Vec<u8> {
    let mut content = vec![1, 0, 0, 0, 0x44, 0x00];
    content.extend(u16::try_from(items.len()).unwrap().to_be_bytes());
    for [method, offset, length] in items {
        content.extend([0, 1, 0, u8::try_from(*method).unwrap(), 0, 0, 0, 1]);
        content.extend([offset.to_be_bytes(), length.to_be_bytes()].concat());
    }
    boxed(b"iloc", &content)
}

fn description(boxes: &[Vec<u8>]) -> Vec<u8> {
    let handler = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0");
    boxed(b"meta", &[&[0; 4], &handler[..], &boxes.concat()].concat())
}

/// Largest in the middle, as where a grid stands between its tiles and its thumbnail.
fn sizes() -> Vec<u8> {
    properties(&[extent(512, 512), extent(4032, 3024), extent(320, 240)])
}

const DATA: &[u8] = b"data of the picture, some sixty bytes of it, all of them needed";

/// File type, description, then `media`, whose content begins with [`DATA`] behind a header of `header_bytes`.
fn described_first(media: &[u8], header_bytes: usize) -> Vec<u8> {
    let at_offset = |offset: usize| {
        let (offset, length) = (u32::try_from(offset).unwrap(), u32::try_from(DATA.len()).unwrap());
        let boxes = [sizes(), boxed(b"idat", b"grid"), locations(&[[0, offset, length], [1, 0, 4]])];
        [file_type(b"heic", b"mif1heic"), description(&boxes)].concat()
    };
    let offset = at_offset(0).len() + header_bytes;
    [&at_offset(offset), media].concat()
}

pub(super) fn photo() -> Vec<u8> {
    described_first(&boxed(b"mdat", DATA), 8)
}

pub(super) fn open_ended() -> Vec<u8> {
    described_first(&[b"\0\0\0\0mdat", DATA].concat(), 8)
}

pub(super) fn described_last() -> Vec<u8> {
    let front = [file_type(b"mif1", b"mif1heic"), boxed(b"mdat", DATA)].concat();
    let end = u32::try_from(front.len()).unwrap();
    let boxes = [locations(&[[0, end - 60, 60]]), sizes()];
    [front, description(&boxes)].concat()
}

#[test]
fn brands_decide() {
    let rest = &photo()[24..];
    let table: [(&[u8], &[u8], bool); 16] = [
        (b"heic", b"", true),
        (b"heix", b"mif1", true),
        (b"heim", b"", true),
        (b"heis", b"", true),
        (b"hevc", b"", true),
        (b"hevx", b"", true),
        (b"mif1", b"mif1heic", true),
        (b"msf1", b"msf1hevc", true),
        (b"mif1", b"mif1miafMiHBMiHAtmapaaaabbbbheix", true),
        (b"mif1", b"mif1", false),
        (b"mif1", b"avifmiaf", false),
        (b"avif", b"mif1miaf", false),
        (b"avif", b"mif1heic", false),
        (b"avis", b"msf1", false),
        (b"isom", b"mp42heic", false),
        (b"jxl ", b"", false),
    ];
    for (major, compatible, is_heic) in table {
        let file_type = file_type(major, compatible);
        // The locations now point a little beside the data, which a free box keeps inside the file.
        let padded = [&file_type[..], &boxed(b"free", &[0; 40]), rest].concat();
        let expect = if is_heic { "image/heic 4032x3024" } else { "image_type_unsupported" };
        check(&padded, expect);
    }
    // A brand behind the end of the box is none.
    check(&[file_type(b"mif1", b""), b"heicheic".to_vec()].concat(), "image_type_unsupported");
    check(b"\0\0\0\x08ftypheic\0\0\0\0", "image_type_unsupported");
}

#[test]
fn boxes_are_walked() {
    let start = file_type(b"heic", b"mif1");
    let data = boxed(b"mdat", DATA);
    let located = locations(&[[0, 0, 30]]);
    let good = description(&[sizes(), located.clone()]);
    let inner = |boxes: &[Vec<u8>]| vec![data.clone(), description(boxes)];
    let raw_meta = |content: &[u8]| vec![data.clone(), boxed(b"meta", &[&[0; 4], content].concat())];
    let lengths = "image_malformed: … lengths around it";
    let shorter = "image_malformed: … shorter than its own header";
    let table = [
        (vec![good.clone(), data.clone()], "image/heic 4032x3024"),
        (vec![boxed(b"free", b""), data.clone(), boxed(b"uuid", &[0; 16]), good.clone()], "image/heic 4032x3024"),
        (vec![good.clone(), [&b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14"[..], b"data"].concat()], "image/heic 4032x3024"),
        (vec![good.clone(), b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0f".to_vec()], shorter),
        (vec![good.clone(), b"\0\0\0\x07mdat".to_vec()], shorter),
        (vec![good.clone(), b"\0\0\0\x02mdat".to_vec()], shorter),
        (vec![good.clone(), b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()], "image_truncated"),
        (vec![good.clone(), b"\xff\xff\xff\xffmdat".to_vec()], "image_truncated"),
        (vec![good.clone(), data.clone(), b"\0\0\0".to_vec()], "image_truncated"),
        (vec![good.clone()], "image_truncated"),
        (vec![data.clone()], "image_truncated"),
        (vec![], "image_truncated"),
        (vec![good.clone(), data.clone(), good.clone()], "image_malformed: … twice"),
        (vec![data.clone(), boxed(b"meta", b"abc")], lengths),
        (raw_meta(b"\0\0\0\x20iprp"), lengths),
        (raw_meta(b"\0\0\0\x07iprp"), lengths),
        (raw_meta(b"\0\0\0\0iprp"), lengths),
        (raw_meta(b"\0\0\0\x01iprp\xff\xff\xff\xff\xff\xff\xff\xff"), lengths),
        (raw_meta(b"\0\0\0\x01iprp"), lengths),
        (raw_meta(&boxed(b"iprp", b"\0\0\0\x30ipco....")), lengths),
        (raw_meta(b"junk"), lengths),
        (inner(std::slice::from_ref(&located)), "image_malformed: … how large"),
        (inner(&[extent(5, 5), located.clone()]), "image_malformed: … how large"),
        (inner(&[properties(&[]), located.clone()]), "image_malformed: … how large"),
        (inner(&[properties(&[boxed(b"ispe", &[1; 11])]), located.clone()]), lengths),
        (inner(&[properties(&[extent(0, 5)]), located.clone()]), "image_malformed: … width or height of 0"),
        (inner(&[properties(&[extent(u32::MAX, u32::MAX)]), located.clone()]), "image_too_many_pixels"),
        (inner(&[properties(&[extent(5, 5), extent(8_001, 8_000)]), located.clone()]), "image_too_many_pixels"),
        (inner(&[sizes()]), "image_malformed: … where its picture is"),
        (inner(&[sizes(), locations(&[])]), "image_malformed: … where its picture is"),
    ];
    for (boxes, expect) in table {
        check(&[&start, &boxes.concat()[..]].concat(), expect);
    }
    let limits = Limits { pixels_max: 4032 * 3024 - 1, ..Limits::default() };
    check_within(&photo(), &limits, "image_too_many_pixels");
}

#[test]
fn every_located_item_must_be_there() {
    let file = |locations: Vec<u8>, inner_data: &[Vec<u8>]| {
        let boxes = [&[sizes(), locations][..], inner_data].concat();
        [file_type(b"heic", b""), description(&boxes)].concat()
    };
    let data = boxed(b"mdat", DATA);
    let idat = [boxed(b"idat", &[0; 10])];
    let raw = |content: &[u8]| boxed(b"iloc", content);
    let beyond = "image_malformed: … data that its description does not hold";
    let fields = "image_malformed: … impossible width";
    let eight = [&[0, 0, 0, 0, 0x88, 0x80, 0, 1, 0, 1, 0, 0][..], &[0; 7], &[1, 0, 1], &[0; 15], &[9]].concat();
    let wide = [&[2, 0, 0, 0, 0x44, 0x44, 0, 0, 0, 1][..], &[0; 12], &[0, 1], &[0; 12]].concat();
    let overflow = [&[0, 0, 0, 0, 0x88, 0x80, 0, 1, 0, 1, 0, 0][..], &[0xFF; 8], &[0, 1], &[0xFF; 16]].concat();
    let whole_file = [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0][..], &[0, 1]].concat();
    let table = [
        (locations(&[[0, 20, 40]]), &[][..], "image/heic 4032x3024"),
        (locations(&[[1, 0, 10]]), &idat, "image/heic 4032x3024"),
        (locations(&[[2, 0, 10], [0, 0, 9]]), &[], "image/heic 4032x3024"),
        (raw(&eight), &[], "image/heic 4032x3024"),
        (raw(&wide), &[], "image/heic 4032x3024"),
        (raw(&whole_file), &[], "image/heic 4032x3024"),
        (locations(&[[0, 20, 40], [0, 20, 40_000]]), &[], "image_truncated"),
        (locations(&[[0, u32::MAX, u32::MAX]]), &[], "image_truncated"),
        (raw(&overflow), &[], "image_truncated"),
        (locations(&[[1, 0, 11]]), &idat, beyond),
        (locations(&[[1, u32::MAX, u32::MAX]]), &idat, beyond),
        (locations(&[[1, 0, 1]]), &[], beyond),
        (raw(&[1, 0, 0, 0, 0x45, 0, 0, 0]), &[], fields),
        (raw(&[1, 0, 0, 0, 0x44, 0x10, 0, 0]), &[], fields),
        (raw(&[1, 0, 0, 0, 0x44, 0x02, 0, 0]), &[], fields),
        (raw(&[3, 0, 0, 0, 0x44, 0, 0, 0]), &[], "image_malformed: … unknown version"),
        (raw(&[1, 0, 0, 0, 0x44, 0, 0, 1]), &[], "image_malformed: … lengths around it"),
        (raw(&[1, 0, 0, 0, 0x44]), &[], "image_malformed: … lengths around it"),
        (raw(&[2, 0, 0, 0, 0x44, 0, 0xFF, 0xFF, 0xFF, 0xFF]), &[], "image_malformed: … lengths around it"),
    ];
    for (locations, inner_data, expect) in table {
        check(&[file(locations, inner_data), data.clone()].concat(), expect);
    }
    // All in the description: no other data is needed, but some there must be.
    check(&file(locations(&[[1, 0, 10]]), &idat), "image/heic 4032x3024");
    check(&file(locations(&[[0, 0, 10]]), &[]), "image_truncated");
}

#[test]
fn extents_that_take_no_bytes_cost_no_time() {
    // 65,535 items of 65,535 extents each, in 393 kB: four billion rounds if they were gone through.
    let items = [0, 1, 0, 0, 0xFF, 0xFF].repeat(0xFFFF);
    let locations = boxed(b"iloc", &[&[0, 0, 0, 0, 0, 0, 0xFF, 0xFF], &items[..]].concat());
    let start = file_type(b"heic", b"");
    let file = [start, description(&[sizes(), locations]), boxed(b"mdat", DATA)].concat();
    let begun = std::time::Instant::now();
    check(&file, "image/heic 4032x3024");
    assert!(begun.elapsed().as_secs() < 5);
}

/// A file with a hole: `head`, then zeros up to `length_bytes`.
struct Sparse {
    head: Vec<u8>,
    length_bytes: u64,
    position: u64,
    read_bytes: usize,
}

impl Read for &mut Sparse {
    fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        let left = self.length_bytes.saturating_sub(self.position);
        let count = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let start = usize::try_from(self.position).unwrap_or(usize::MAX);
        for (index, byte) in room[..count].iter_mut().enumerate() {
            *byte = self.head.get(start.saturating_add(index)).copied().unwrap_or(0);
        }
        self.position += count as u64;
        self.read_bytes += count;
        Ok(count)
    }
}

impl Seek for &mut Sparse {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(offset) => self.length_bytes.saturating_add_signed(offset),
            SeekFrom::Current(offset) => self.position.saturating_add_signed(offset),
        };
        Ok(self.position)
    }
}

#[test]
fn boxes_beyond_four_gigabytes_are_passed_over_unread() {
    const LENGTH: u64 = 6_000_000_000;
    let boxes = description(&[sizes(), locations(&[[0, 0, 30]])]);
    let mut head = [file_type(b"heic", b""), boxes, b"\0\0\0\x01mdat".to_vec()].concat();
    head.extend((LENGTH - head.len() as u64 + 8).to_be_bytes());
    for (length_bytes, expect) in [(LENGTH, "image/heic 4032x3024"), (LENGTH - 1, "image_truncated")] {
        let mut source = Sparse { head: head.clone(), length_bytes, position: 0, read_bytes: 0 };
        let outcome = describe(inspect(&mut source, &Limits::default()));
        assert!(outcome.starts_with(expect), "{outcome}");
        assert!(source.read_bytes <= 64 * 1024, "{} bytes read", source.read_bytes);
    }
}

#[test]
fn none_is_developed_in_this_version() {
    let unsupported = Err(DevelopError::Unsupported(ImageType::Heic));
    let recipe = Recipe::default();
    assert_eq!(develop(&photo(), &recipe).map(drop), unsupported);
    assert_eq!(verify(&photo(), &recipe), unsupported);
    assert_eq!(memory_bytes(&photo(), &recipe).map(drop), unsupported);
    assert_eq!(strip(&photo()).map(drop), unsupported);
    // A defect is told all the same.
    assert!(matches!(verify(&photo()[..90], &recipe), Err(DevelopError::Structure(_))));
}
