//! What the parent believes of an answer.
//!
//! A child decodes hostile photos. Should one take it over, its answer is all that reaches the server, so the answer is
//! judged as input: every number, every word, the kind of every picture.

use std::io;

use imaging::{Derivative, Developed, Recipe};

use crate::protocol::{Operation, WireDerivative, WireDeveloped, derivative_size, image_type, malformed};

/// Longest reason a child may give, in characters.
const WORDS_MAX: usize = 400;
/// A `ThumbHash` has at most 25 bytes.
const PLACEHOLDER_BYTES_MAX: usize = 64;
/// `2026-11-23T22:27:01.123456789+01:00` has 35.
const TAKEN_AT_BYTES_MAX: usize = 40;
/// What stripping may add: a marker with the orientation.
const STRIP_GROWTH_BYTES_MAX: u64 = 4 * 1024;
/// Header and tables of a picture of no size at all.
const PICTURE_BYTES_MIN: u64 = 64 * 1024;

/// Most bytes that can come back.
pub(crate) fn body_bytes_max(operation: Operation, recipe: &Recipe, photo_bytes: usize) -> u64 {
    match operation {
        Operation::Verify => 0,
        Operation::Strip => (photo_bytes as u64).saturating_add(STRIP_GROWTH_BYTES_MAX),
        Operation::Develop => {
            // Four bytes a pixel: no encoder needs as many, not even for noise.
            let picture = |side_px: u32| {
                let pixels = (u64::from(side_px) * u64::from(side_px)).min(recipe.limits.pixels_max);
                pixels.saturating_mul(4).saturating_add(PICTURE_BYTES_MIN)
            };
            let each_format = picture(recipe.thumb_px).saturating_add(picture(recipe.preview_px));
            each_format.saturating_mul(recipe.formats.len() as u64)
        }
    }
}

/// Puts header and pictures together again, if they can be what the recipe makes.
pub(crate) fn developed(header: WireDeveloped, body: &[u8], recipe: &Recipe) -> io::Result<Developed> {
    let sharpness = f64::from_bits(header.sharpness_bits);
    let brightness = f64::from_bits(header.brightness_bits);
    let pixels = u64::from(header.width_px) * u64::from(header.height_px);
    let sound = pixels > 0
        && pixels <= recipe.limits.pixels_max
        && (1..=8).contains(&header.orientation)
        && header.placeholder.len() <= PLACEHOLDER_BYTES_MAX
        && header.taken_at.as_deref().is_none_or(is_time)
        && sharpness.is_finite()
        && sharpness >= 0.0
        && (0.0..=1.0).contains(&brightness)
        && header.derivatives.len() <= recipe.formats.len().saturating_mul(2);
    if !sound {
        return Err(malformed("its figures cannot be"));
    }
    let mut rest = body;
    let mut derivatives: Vec<Derivative> = Vec::with_capacity(header.derivatives.len());
    for announced in &header.derivatives {
        let (bytes, behind) = usize::try_from(announced.bytes)
            .ok()
            .and_then(|bytes| rest.split_at_checked(bytes))
            .ok_or_else(|| malformed("its pictures are shorter than announced"))?;
        rest = behind;
        let made = derivative(announced, bytes, recipe).ok_or_else(|| malformed("a picture is not what was asked"))?;
        if derivatives.iter().any(|other| other.size == made.size && other.image_type == made.image_type) {
            return Err(malformed("a picture came twice"));
        }
        derivatives.push(made);
    }
    if !rest.is_empty() {
        return Err(malformed("its pictures are longer than announced"));
    }
    Ok(Developed {
        image_type: image_type(&header.image_type).ok_or_else(|| malformed("its format is none"))?,
        width_px: header.width_px,
        height_px: header.height_px,
        orientation: header.orientation,
        taken_at: header.taken_at,
        placeholder: header.placeholder,
        sharpness,
        brightness,
        perceptual_hash: header.perceptual_hash,
        derivatives,
    })
}

fn derivative(announced: &WireDerivative, bytes: &[u8], recipe: &Recipe) -> Option<Derivative> {
    let size = derivative_size(&announced.size)?;
    let image_type = image_type(&announced.image_type)?;
    let side_px_max = match size {
        imaging::DerivativeSize::Thumb => recipe.thumb_px,
        imaging::DerivativeSize::Preview => recipe.preview_px,
    };
    let sides = [announced.width_px, announced.height_px];
    let sound = recipe.formats.contains(&image_type)
        && imaging::sniff(bytes) == Some(image_type)
        && sides.iter().all(|side_px| (1..=side_px_max).contains(side_px));
    sound.then(|| Derivative {
        size,
        image_type,
        width_px: announced.width_px,
        height_px: announced.height_px,
        bytes: bytes.to_vec(),
    })
}

fn is_time(text: &str) -> bool {
    text.len() <= TAKEN_AT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte))
}

/// Words of a child, fit for a log and a page: one line, no control characters, not endless.
pub(crate) fn words(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().take(WORDS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> WireDeveloped {
        WireDeveloped {
            image_type: "image/jpeg".to_owned(),
            width_px: 640,
            height_px: 480,
            orientation: 1,
            taken_at: Some("2026-11-23T22:27:01.5+01:00".to_owned()),
            placeholder: vec![1, 2, 3],
            sharpness_bits: 12.5f64.to_bits(),
            brightness_bits: 0.5f64.to_bits(),
            perceptual_hash: u64::MAX,
            derivatives: vec![WireDerivative {
                size: "thumb".to_owned(),
                image_type: "image/jpeg".to_owned(),
                width_px: 320,
                height_px: 240,
                bytes: 4,
            }],
        }
    }

    const PICTURE: [u8; 4] = [0xff, 0xd8, 0xff, 0xe0];

    #[test]
    fn a_sound_answer_is_believed_to_the_last_bit() {
        let developed = developed(header(), &PICTURE, &Recipe::default()).unwrap();
        assert_eq!(developed.perceptual_hash, u64::MAX);
        assert_eq!(developed.sharpness.to_bits(), 12.5f64.to_bits());
        assert_eq!(developed.derivatives[0].bytes, PICTURE);
    }

    #[test]
    fn an_answer_that_cannot_be_is_refused() {
        type Spoil = fn(&mut WireDeveloped);
        let cases: [(&str, Spoil); 14] = [
            ("no width", |answer| answer.width_px = 0),
            ("more pixels than the photo may have", |answer| answer.width_px = u32::MAX),
            ("orientation 9", |answer| answer.orientation = 9),
            ("a long placeholder", |answer| answer.placeholder = vec![0; 65]),
            ("a time with words in it", |answer| answer.taken_at = Some("<b>now</b>".to_owned())),
            ("sharpness that is no number", |answer| answer.sharpness_bits = f64::NAN.to_bits()),
            ("brightness above white", |answer| answer.brightness_bits = 1.5f64.to_bits()),
            ("a format that is none", |answer| answer.image_type = "text/html".to_owned()),
            ("a picture longer than the frame", |answer| answer.derivatives[0].bytes = u64::MAX),
            ("a picture shorter than the frame", |answer| answer.derivatives[0].bytes = 3),
            ("a picture of another format", |answer| answer.derivatives[0].image_type = "image/png".to_owned()),
            ("a picture wider than asked", |answer| answer.derivatives[0].width_px = 321),
            ("a size nobody asked for", |answer| answer.derivatives[0].size = "poster".to_owned()),
            ("five pictures", |answer| {
                let none = || WireDerivative {
                    size: "thumb".to_owned(),
                    image_type: "image/jpeg".to_owned(),
                    width_px: 1,
                    height_px: 1,
                    bytes: 0,
                };
                answer.derivatives.extend(std::iter::repeat_with(none).take(4));
            }),
        ];
        for (what, spoil) in cases {
            let mut answer = header();
            spoil(&mut answer);
            assert!(developed(answer, &PICTURE, &Recipe::default()).is_err(), "{what} was believed");
        }
    }

    #[test]
    fn a_picture_may_not_come_twice() {
        let mut answer = header();
        answer.derivatives.push(WireDerivative { bytes: 4, ..header().derivatives.remove(0) });
        let twice = [PICTURE, PICTURE].concat();
        assert!(developed(answer, &twice, &Recipe::default()).is_err());
    }

    #[test]
    fn a_childs_words_are_one_plain_line() {
        assert_eq!(words(" no\nsuch\u{1b}[31m luck \n"), "no such [31m luck");
        assert_eq!(words(&"x".repeat(10_000)).len(), WORDS_MAX);
    }
}
