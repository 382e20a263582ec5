//! `Accept` (RFC 9110): which of the formats of a picture a client is given.

use axum::http::{HeaderMap, header};

use super::super::prefer::split;

/// How much a client wants a format, in thousandths: `None` where it says nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    exactly: Option<u16>,
    as_image: Option<u16>,
    as_anything: Option<u16>,
}

impl Wanted {
    fn of(content_type: &str, headers: &HeaderMap) -> Self {
        let mut wanted = Self::default();
        for line in headers.get_all(header::ACCEPT) {
            for range in split(line.as_bytes(), b',') {
                let mut parts =
                    split(range, b';').map(|part| String::from_utf8_lossy(part).trim().to_ascii_lowercase());
                let name = parts.next().unwrap_or_default();
                let quality = parts.find_map(|part| quality(&part)).unwrap_or(1_000);
                let slot = match name.as_str() {
                    "*/*" => &mut wanted.as_anything,
                    "image/*" => &mut wanted.as_image,
                    name if name == content_type => &mut wanted.exactly,
                    _ => continue,
                };
                slot.get_or_insert(quality);
            }
        }
        wanted
    }
}

/// `q=0.5` as 500; `None` where it is another parameter, and 0 where it is not to be understood.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    (name.trim() == "q").then_some(())?;
    let value = value.trim();
    let fits = value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let quality: f32 = value.parse().ok().filter(|_| fits).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    Some((quality.clamp(0.0, 1.0) * 1_000.0).round() as u16)
}

/// Whether a client is given WebP where there is a choice: it names it, or images of any kind, and does not want JPEG
/// more. `*/*` alone is no word for it: programs say so that know nothing but JPEG.
pub(super) fn wants_webp(headers: &HeaderMap) -> bool {
    let webp = Wanted::of("image/webp", headers);
    let jpeg = Wanted::of("image/jpeg", headers);
    let webp = webp.exactly.or(webp.as_image).unwrap_or(0);
    webp > 0 && webp >= jpeg.exactly.or(jpeg.as_image).or(jpeg.as_anything).unwrap_or(0)
}
