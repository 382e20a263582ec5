//! A token as text: three parts between dots, of which only the first is read before the signature is known to be good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::refused::Reason;

/// A whole header of a request has 16 KiB.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The algorithms that count: one for each kind of key, so that a key says its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
    Hs256,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 names it by its curve.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "HS256" => Some(Self::Hs256),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// What a reader must understand, and this one does not.
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What is signed: header and payload.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    payload: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Reason> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Reason::Oversized);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed);
        let (signed, signature) = text.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::Malformed)?;
        if payload.contains('.') {
            // Encrypted ones have five parts.
            return Err(Reason::Malformed);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Reason::Malformed)?;
        if header.crit.is_some() {
            return Err(Reason::Malformed);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&header.alg).ok_or(Reason::Algorithm)?,
            key_id: header.kid,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
            payload,
        })
    }

    /// To be called once the signature is known to be good.
    pub(super) fn payload(&self) -> Result<Vec<u8>, Reason> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Reason::Malformed)
    }
}
