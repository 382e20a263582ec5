//! Tokens that the standards print, held against the keys beside them there: nothing of ours had a part in them. (Tokens
//! good and bad of every kind, and keys that come and go, are at the server's socket: `tests/server/identity/jwt.rs`.)

use serde_json::{Value, json};

use super::keys::{Keys, Verdict};
use super::token::{Algorithm, Token};
use crate::refused::Reason;

/// RFC 7515, appendix A: `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// RFC 7515, A.2.
fn rsa() -> (Value, String) {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF\
             d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo\
             7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM\
             Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9u\
                     JdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_e\
                     SN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5\
                     AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    (json!({"kty": "RSA", "n": n, "e": "AQAB"}), format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}"))
}

/// RFC 7515, A.3.
fn p256() -> (Value, String) {
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    (json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{signature}"))
}

/// RFC 8037, A.4.
fn ed25519() -> (Value, String) {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let token = format!("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{signature}");
    (json!({"kty": "OKP", "crv": "Ed25519", "x": x}), token)
}

fn keys(public: &[&Value]) -> Keys {
    Keys::parse(json!({"keys": public}).to_string().as_bytes()).unwrap()
}

#[test]
fn the_tokens_of_the_standards() {
    let vectors = [(Algorithm::Rs256, rsa()), (Algorithm::Es256, p256()), (Algorithm::EdDsa, ed25519())];
    let all = keys(&vectors.iter().map(|(_, (key, _))| key).collect::<Vec<_>>());
    for (algorithm, (key, text)) in &vectors {
        let token = Token::parse(text).unwrap();
        assert_eq!(token.algorithm, *algorithm);
        assert!(matches!(all.judge(&token), Verdict::Good), "{algorithm:?} among others");
        assert!(matches!(keys(&[key]).judge(&token), Verdict::Good), "{algorithm:?}");
        // One letter of the payload other than it was.
        let at = text.find('.').unwrap() + 5;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        let verdict = all.judge(&Token::parse(&changed).unwrap());
        assert!(matches!(verdict, Verdict::Bad(Reason::BadSignature)), "{algorithm:?}");
        println!("{algorithm:?}: {} bytes", text.len());
    }
    // The token that everybody's first page about them shows.
    let shown = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2\
                 MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let token = Token::parse(shown).unwrap();
    assert!(matches!(Keys::of_secret("your-256-bit-secret").judge(&token), Verdict::Good));
    assert!(matches!(Keys::of_secret("your-256-bit-secrets").judge(&token), Verdict::Bad(Reason::BadSignature)));
    assert!(!matches!(all.judge(&token), Verdict::Good), "no public key has a secret");
}

#[test]
fn what_is_no_key_to_sign_with_is_left_out() {
    let (good, _) = p256();
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let bad = [
        json!({"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"}),
        with("use", json!("enc")),
        with("alg", json!("ES384")),
        with("alg", json!("HS256")),
        with("crv", json!("secp256k1")),
        with("x", json!("!")),
        with("x", json!("A".repeat(60))),
        with("y", Value::Null),
        json!("a text"),
        json!(null),
    ];
    for key in &bad {
        let set = json!({"keys": [key]}).to_string();
        assert!(Keys::parse(set.as_bytes()).is_err(), "{key}");
        assert!(Keys::parse(json!({"keys": [key, good]}).to_string().as_bytes()).is_ok(), "{key} beside a good one");
    }
    for set in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": []}"#] {
        assert!(Keys::parse(set.as_bytes()).is_err(), "{set}");
    }
    println!("{} keys", bad.len());
}
