//! The keys that tokens are held against, from a set of them in JSON (RFC 7517), or a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde_json::Value;

use super::token::{Algorithm, Token};
use crate::refused::Reason;

/// A set has a few; of more the first are taken.
const KEYS_MAX: usize = 64;
/// A token without a key's name is tried against so many.
const TRIES_MAX: usize = 8;
/// A shorter secret of HS256 could be guessed from one token.
pub const SECRET_BYTES_MIN: usize = 32;

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(hmac::Key),
}

pub(super) struct Key {
    id: Option<String>,
    material: Material,
}

impl Key {
    pub(super) fn of_secret(secret: &str) -> Self {
        Self { id: None, material: Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())) }
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::Secret(_) => Algorithm::Hs256,
        }
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        let by = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(token.signed, &token.signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => signature::RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, token.signed, &token.signature)
                .is_ok(),
            Material::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::Ed25519(point) => by(&signature::ED25519, point),
            Material::Secret(key) => hmac::verify(key, token.signed, &token.signature).is_ok(),
        }
    }
}

/// What was found out about a token.
pub(super) enum Verdict {
    Good,
    Bad(Reason),
    /// No key of that name: perhaps a newer set has it.
    Unknown,
}

/// All keys there are.
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn of_secret(secret: &str) -> Self {
        Self(vec![Key::of_secret(secret)])
    }

    /// Those of a set that sign, and of which we know the kind. Secrets in a set are left out: whoever may read a set of
    /// public keys could sign with them.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(json).map_err(|_| "the set of keys is not JSON")?;
        let items = set.get("keys").and_then(Value::as_array).ok_or("the set of keys has no \"keys\"")?;
        let keys: Vec<Key> = items.iter().take(KEYS_MAX).filter_map(public_key).collect();
        if keys.is_empty() {
            return Err("the set has no key that signs by RS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    pub(super) fn judge(&self, token: &Token<'_>) -> Verdict {
        // A secret of the settings has no name, and its tokens may have one.
        let is_named = |key: &&Key| token.key_id.is_none() || key.id.is_none() || key.id == token.key_id;
        let mut named = self.0.iter().filter(is_named).peekable();
        if named.peek().is_none() {
            return Verdict::Unknown;
        }
        let mut fitting = named.filter(|key| key.algorithm() == token.algorithm).take(TRIES_MAX).peekable();
        if fitting.peek().is_none() {
            // A public key taken for a secret is the oldest of these tricks.
            return if token.key_id.is_none() { Verdict::Unknown } else { Verdict::Bad(Reason::Algorithm) };
        }
        if fitting.any(|key| key.has_signed(token)) { Verdict::Good } else { Verdict::Bad(Reason::BadSignature) }
    }
}

fn public_key(jwk: &Value) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|what| what != "sig") {
        return None;
    }
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
        ("EC", Some("P-256")) => {
            Material::P256([vec![4], coordinate(&bytes("x")?)?, coordinate(&bytes("y")?)?].concat())
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
        _ => return None,
    };
    let key = Key { id: text("kid").map(str::to_owned), material };
    // A key for another algorithm of its kind (PS256) is not one for ours.
    let is_ours = text("alg").is_none_or(|name| Algorithm::parse(name) == Some(key.algorithm()));
    is_ours.then_some(key)
}

/// Always of 32 bytes: some issuers drop leading zeros.
fn coordinate(bytes: &[u8]) -> Option<Vec<u8>> {
    let missing = 32_usize.checked_sub(bytes.len())?;
    Some([vec![0; missing], bytes.to_vec()].concat())
}
