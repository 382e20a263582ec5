//! The signature of the Standard Webhooks specification (version 1.0.0): `v1,` and the base64 of
//! HMAC-SHA256(secret, `id.timestamp.body`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the specification asks of a secret: 192 to 512 bits.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// A signing secret, ready to sign.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

impl Secret {
    /// Reads `whsec_<base64>`. The error is for the operator and holds nothing of the secret.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = text.strip_prefix("whsec_").ok_or("a secret begins with whsec_")?;
        let key = BASE64.decode(encoded).map_err(|_| "behind whsec_ stands base64 with its padding")?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.len()) {
            return Err("a secret has 24 to 64 bytes");
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| "a secret has 24 to 64 bytes")
    }

    fn sign(&self, id: &str, timestamp_unix_s: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp_unix_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver with the old or the new secret
/// verifies while it is being changed.
pub(crate) fn header(secrets: &[Secret], id: &str, timestamp_unix_s: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp_unix_s, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    // Both vectors are of the specification's own reference libraries.
    #[test]
    fn known_answers_of_the_reference_libraries() {
        assert_eq!(
            header(&[secret(FIRST)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(
            header(
                &[secret(SECOND)],
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                br#"{"email":"test@example.com","username":"test_user"}"#
            ),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn several_secrets_give_several_signatures_in_their_order() {
        let (first, second) = (secret(FIRST), secret(SECOND));
        let both = header(&[first.clone(), second.clone()], "id", 1, b"{}");
        assert_eq!(both, format!("{} {}", header(&[first], "id", 1, b"{}"), header(&[second], "id", 1, b"{}")));
        assert_eq!(both.split(' ').count(), 2);
    }

    #[test]
    fn secrets_that_are_none_are_refused() {
        let bytes = |count: usize| format!("whsec_{}", BASE64.encode(vec![7; count]));
        for good in [bytes(24), bytes(32), bytes(64)] {
            assert!(Secret::parse(&good).is_ok());
        }
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***", "whsk_AAAA", &bytes(23), &bytes(65)]
        {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }
}
