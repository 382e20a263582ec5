//! The app's secret keys, as the app has them: a text, or bytes.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;

const BYTES: &str = "base64:";

/// Padded or not: people copy both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One key. Neither shown nor compared.
pub(super) enum Key {
    Text(String),
    Bytes(Vec<u8>),
}

impl Key {
    /// Never repeats the key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let key = match text.strip_prefix(BYTES) {
            Some(encoded) => Self::Bytes(
                LENIENT.decode(encoded.trim()).map_err(|_| "what follows base64: is not base64".to_owned())?,
            ),
            None => Self::Text(text.to_owned()),
        };
        if key.of_sessions().is_empty() { Err("a key is empty".to_owned()) } else { Ok(key) }
    }

    /// As itsdangerous takes it: a text in UTF-8.
    pub(super) fn of_sessions(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// As Flask-Login takes it: a text in Latin-1. `None` where that cannot be, and where the app cannot remember
    /// anybody either.
    pub(super) fn of_flask_login(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect(),
            Self::Bytes(bytes) => Some(bytes.clone()),
        }
    }
}

/// Whether a text can be a key of the app's; if not, why, without the text.
///
/// # Errors
/// The reason.
pub fn check_key(text: &str) -> Result<(), String> {
    Key::parse(text).map(drop)
}
