//! Pictures into JPEG and WebP, without a word about them: no metadata, no comment naming an encoder.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::DevelopError;
use super::picture::Picture;
use crate::ImageType;

/// WebP cannot be larger; JPEG could.
pub(super) const SIDE_PX_MAX: u32 = 16_383;

/// From here on people see the chroma that 4:2:0 saves.
const FULL_CHROMA_QUALITY: u8 = 90;

/// Of libwebp's 0 to 6: 2 takes half as long again for files a twentieth smaller, 4 four times as long for a sixth.
const WEBP_METHOD: i32 = 1;

pub(super) fn encode(picture: &Picture, image_type: ImageType, quality: u8) -> Result<Vec<u8>, DevelopError> {
    let quality = quality.clamp(1, 100);
    match image_type {
        ImageType::Jpeg => jpeg(picture, quality),
        ImageType::WebP => webp(picture, quality),
        ImageType::Png | ImageType::Heic => Err(failed(&"derivatives are JPEG or WebP")),
    }
}

fn jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, DevelopError> {
    let side = |px: u32| u16::try_from(px).map_err(|error| failed(&error));
    let (width_px, height_px) = (side(picture.width_px())?, side(picture.height_px())?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(if quality < FULL_CHROMA_QUALITY {
        SamplingFactor::F_2_2
    } else {
        SamplingFactor::F_1_1
    });
    encoder.encode(picture.bytes(), width_px, height_px, ColorType::Rgb).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn webp(picture: &Picture, quality: u8) -> Result<Vec<u8>, DevelopError> {
    let mut config = webp::WebPConfig::new().map_err(|()| failed(&"libwebp is of another version"))?;
    config.quality = quality.into();
    config.method = WEBP_METHOD;
    let encoder = webp::Encoder::from_rgb(picture.bytes(), picture.width_px(), picture.height_px());
    let bytes = encoder.encode_advanced(&config).map_err(|error| failed(&format!("{error:?}")))?;
    Ok(bytes.to_vec())
}

fn failed(error: &dyn std::fmt::Display) -> DevelopError {
    DevelopError::Undecodable(format!("its preview cannot be encoded ({error})"))
}
