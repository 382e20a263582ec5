//! Bearer tokens that an issuer signed, its keys served over HTTP: good ones, every kind of bad ones, and keys that come
//! and go.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use testkit::server::{Server, ServerBuilder};

use super::app::{App, answer, json};
use super::{refused, send, session_of, upload, user, who};
use crate::support::{assert_nothing_left, code_of, patient, unprocessed};

const ISSUER: &str = "https://id.example.org/realms/clinic";

/// An RSA key of the test's, in PKCS #8: ring makes none. It signs nothing anywhere else.
const RSA_PKCS8: &str = include_str!("rsa-of-the-tests.b64");

enum Key {
    Rsa(Box<RsaKeyPair>),
    Es(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Hs(hmac::Key),
}

impl Key {
    fn rsa() -> Self {
        let der = base64::engine::general_purpose::STANDARD.decode(RSA_PKCS8.replace('\n', "")).unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    fn es() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Es(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap())
    }

    fn ed() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    fn hs(secret: &[u8]) -> Self {
        Self::Hs(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Es(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Hs(_) => "HS256",
        }
    }

    /// The public key as it stands in a set.
    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": text(&public.n), "e": text(&public.e)})
            }
            Self::Es(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(pair.public_key().as_ref())}),
            Self::Hs(_) => panic!("no public key"),
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
            Self::Es(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(text).as_ref().to_vec(),
            Self::Hs(key) => hmac::sign(key, text).as_ref().to_vec(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.sign(text.as_bytes())))
    }

    /// A token as it should be, of this key's name.
    fn good(&self, id: &str) -> String {
        self.token(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": id}), &claims(&json!({})))
    }
}

/// Good claims, with these instead; `null` takes one away.
fn claims(other: &Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({"iss": ISSUER, "aud": ["account", "filmgate"], "sub": "4711", "iat": now, "nbf": now - 5,
        "exp": now + 300, "preferred_username": "Ada"});
    for (name, value) in other.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn jwt() -> ServerBuilder {
    unprocessed(patient())
        .env("FILMGATE__IDENTITY__PROVIDER", "jwt")
        .env("FILMGATE__IDENTITY__JWT__ISSUER", ISSUER)
        .env("FILMGATE__IDENTITY__JWT__AUDIENCES", "filmgate,filmgate-test")
        .env("FILMGATE__IDENTITY__JWT__ADMIN_CLAIM", "/realm_access/roles")
}

fn with_keys(issuer: &App) -> ServerBuilder {
    jwt().env("FILMGATE__IDENTITY__JWT__JWKS_URL", &issuer.url("/jwks.json"))
}

fn set(keys: &[Value]) -> Vec<u8> {
    json(&json!({"keys": keys}))
}

fn status(server: &Server, token: &str) -> u16 {
    who(server, |request| request.header("Authorization", &format!("Bearer {token}"))).status
}

#[test]
fn tokens_of_every_kind_of_key_say_who_it_is() {
    let keys = [("rsa", Key::rsa()), ("es", Key::es()), ("ed", Key::ed())];
    let mut public: Vec<Value> = keys.iter().map(|(id, key)| key.jwk(id)).collect();
    // What else is in sets: keys for other things, and kinds that we do not know.
    public.insert(0, json!({"kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB"}));
    public.insert(0, json!({"kty": "EC", "crv": "P-521", "kid": "p521", "x": "AQ", "y": "AQ"}));
    public.insert(
        0,
        json!({"kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode("a secret that is no secret at all!")}),
    );
    let issuer = App::start(move |_| set(&public));
    let server = with_keys(&issuer).start().unwrap();
    let session = session_of(&server, 4711);
    for (id, key) in &keys {
        let bearer = format!("Bearer {}", key.good(id));
        assert_eq!(send(&server, &upload(&session).header("Authorization", &bearer)).status, 200, "{id}");
        // A token is the caller's own word, which no other site's page can take along.
        let elsewhere = upload(&session).header("Authorization", &bearer).header("Sec-Fetch-Site", "cross-site");
        assert_eq!(send(&server, &elsewhere).status, 200, "{id}");
        let unnamed = key.token(&json!({"alg": key.algorithm()}), &claims(&json!({"aud": "filmgate-test"})));
        assert_eq!(status(&server, &unnamed), 200, "{id} without a name, and for one audience");
    }
    let token = keys[1].1.token(
        &json!({"alg": "ES256", "kid": "es"}),
        &claims(&json!({"sub": 7, "realm_access": {"roles": ["a", "admin"]}, "exp": 4_102_444_800.5})),
    );
    let answer = who(&server, |request| request.header("Authorization", &format!("Bearer {token}")));
    assert_eq!(user(&answer), json!({"id": 7, "username": "Ada", "role": "admin"}));
    let cookie = format!("session={token}; token={token}; filmgate_sign_in={token}");
    assert_eq!(who(&server, |request| request.cookie(&cookie)).status, 401, "as a bearer token alone");
    let oct = Key::hs(b"a secret that is no secret at all!");
    assert_eq!(status(&server, &oct.good("oct")), 401, "a secret in a public set is none");
    assert_eq!(issuer.times(), 1, "once for all of them; a key that nobody has heard of does not ask again so soon");
}

#[test]
fn what_is_no_token_for_us_is_nobody_and_leaves_nothing() {
    let (rsa, es, other) = (Key::rsa(), Key::es(), Key::es());
    let public = [rsa.jwk("rsa"), es.jwk("es")];
    let modulus = URL_SAFE_NO_PAD.decode(public[0]["n"].as_str().unwrap()).unwrap();
    let as_text = public[0].to_string();
    let issuer = App::start(move |_| set(&public));
    let server = with_keys(&issuer).start().unwrap();
    let session = session_of(&server, 4711);
    let now = jiff::Timestamp::now().as_second();
    let head = |alg: &str| json!({"alg": alg, "kid": "es"});
    let with = |other: Value| es.token(&head("ES256"), &claims(&other));
    let good = es.good("es");
    let (text, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": alg, "kid": "es"})), part(&claims(&json!({}))))
    };
    let payload = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "1"})).to_string());
    let swapped = format!("{}.{payload}.{signature}", text.split('.').next().unwrap());
    let cases: Vec<(&str, String, &str)> = vec![
        ("expired", with(json!({"exp": now - 31})), "expired"),
        ("not yet", with(json!({"nbf": now + 60})), "not_yet_valid"),
        ("without an end", with(json!({"exp": null})), "malformed"),
        ("an end that is no number", with(json!({"exp": "never"})), "malformed"),
        ("another issuer", with(json!({"iss": "https://id.example.org/realms/other"})), "wrong_issuer"),
        ("no issuer", with(json!({"iss": null})), "wrong_issuer"),
        ("issuers", with(json!({"iss": [ISSUER]})), "wrong_issuer"),
        ("another audience", with(json!({"aud": "account"})), "wrong_audience"),
        ("part of an audience", with(json!({"aud": ["filmgate-tes"]})), "wrong_audience"),
        ("no audience", with(json!({"aud": null})), "wrong_audience"),
        ("no user", with(json!({"sub": null})), "no_user"),
        ("a user without a number", with(json!({"sub": "7b1c1d4e-2f7a-4a51-9c0e-0d6b1c2a3f44"})), "not_integer"),
        ("no claims", es.token(&head("ES256"), &json!([])), "malformed"),
        ("another key of the same name", other.good("es"), "bad_signature"),
        ("tampered with", swapped, "bad_signature"),
        ("without a signature", format!("{text}."), "bad_signature"),
        ("cut off", good[..good.len() - 2].to_owned(), "bad_signature"),
        ("alg none", unsigned("none"), "algorithm"),
        ("alg None", unsigned("None"), "algorithm"),
        ("an algorithm that it does not have", unsigned("ES256"), "bad_signature"),
        (
            "the public key as a secret",
            Key::hs(&modulus).token(&json!({"alg": "HS256", "kid": "rsa"}), &claims(&json!({}))),
            "algorithm",
        ),
        (
            "the public key's text as a secret",
            Key::hs(as_text.as_bytes()).token(&json!({"alg": "HS256", "kid": "rsa"}), &claims(&json!({}))),
            "algorithm",
        ),
        (
            "one key's name, another's algorithm",
            rsa.token(&json!({"alg": "RS256", "kid": "es"}), &claims(&json!({}))),
            "algorithm",
        ),
        ("PS256", rsa.token(&json!({"alg": "PS256", "kid": "rsa"}), &claims(&json!({}))), "algorithm"),
        (
            "its own key in the header",
            other.token(&json!({"alg": "ES256", "jwk": other.jwk("own")}), &claims(&json!({}))),
            "bad_signature",
        ),
        (
            "a critical header",
            es.token(&json!({"alg": "ES256", "kid": "es", "crit": ["b64"], "b64": false}), &claims(&json!({}))),
            "malformed",
        ),
        ("oversized", with(json!({"x": "x".repeat(9_000)})), "oversized"),
        ("no token", "hello".to_owned(), "malformed"),
        ("dots", "..".to_owned(), "malformed"),
        ("five parts", format!("{good}.e30.e30"), "malformed"),
    ];
    for (what, token, reason) in &cases {
        let before = refused(&server, reason);
        let answer = send(&server, &upload(&session).header("Authorization", &format!("Bearer {token}")));
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(refused(&server, reason), before + 1, "{what} is not {reason}");
    }
    assert_nothing_left(&server);
    assert_eq!(status(&server, &with(json!({"exp": now - 5, "nbf": now + 5}))), 200, "clocks differ a little");
    assert_eq!(status(&server, &good), 200);
    assert!(!server.log().contains("eyJ"), "no token is in the log");
    println!("{} tokens", cases.len());
}

#[test]
fn keys_that_come_and_go() {
    let (first, second) = (Key::es(), Key::ed());
    let (one, two) = (first.jwk("first"), second.jwk("second"));
    let old = vec![one.clone()];
    let issuer = App::start(move |_| set(&old));
    let server = with_keys(&issuer)
        .env("FILMGATE__IDENTITY__JWT__REFETCH_MS", "400")
        .env("FILMGATE__IDENTITY__JWT__REFRESH_SECONDS", "1")
        .start()
        .unwrap();
    assert_eq!(status(&server, &first.good("first")), 200);
    assert_eq!(issuer.times(), 1);
    // A key that is not there yet: asked for, but not for every token of a stranger.
    for _ in 0..30 {
        assert_eq!(status(&server, &second.good("second")), 401);
    }
    assert!(issuer.times() <= 3, "strangers' tokens must not make us call: {}", issuer.times());
    assert!(refused(&server, "unknown_key") >= 30);
    thread::sleep(Duration::from_millis(450));
    let both = vec![one, two.clone()];
    issuer.now_answers(move |_| set(&both));
    assert_eq!(status(&server, &second.good("second")), 200, "the new key, at its first token");
    assert_eq!(status(&server, &first.good("first")), 200);
    // Rotated out: refused within the time after which keys are fetched anew.
    let new = vec![two];
    issuer.now_answers(move |_| set(&new));
    let began = Instant::now();
    while status(&server, &first.good("first")) == 200 {
        assert!(began.elapsed() < Duration::from_millis(2_500), "a key that is gone still counts");
        thread::sleep(Duration::from_millis(50));
    }
    println!("rotated out after {:?}", began.elapsed());
    assert_eq!(status(&server, &second.good("second")), 200);
}

#[test]
fn an_issuer_that_is_away() {
    let key = Key::es();
    let public = key.jwk("k");
    let good = vec![public.clone()];
    let issuer = App::start(|_| answer(500, &[], ""));
    let server = with_keys(&issuer)
        .env("FILMGATE__IDENTITY__JWT__REFETCH_MS", "200")
        .env("FILMGATE__IDENTITY__JWT__REFRESH_SECONDS", "1")
        .env("FILMGATE__IDENTITY__JWT__KEEP_SECONDS", "3")
        .env("FILMGATE__IDENTITY__JWT__TIMEOUT_MS", "300")
        .start()
        .unwrap();
    let session = session_of(&server, 4711);
    let uploaded = || send(&server, &upload(&session).header("Authorization", &format!("Bearer {}", key.good("k"))));
    let faults: [(&str, Vec<u8>); 6] = [
        ("500", answer(500, &[], "")),
        ("no JSON", answer(200, &[], "<html>")),
        ("no keys", json(&json!({"keys": []}))),
        ("no set", json(&json!([public]))),
        ("huge", answer(200, &[], &" ".repeat(100_000))),
        ("redirect", answer(302, &[("Location", "/elsewhere")], "")),
    ];
    for (what, fault) in faults {
        thread::sleep(Duration::from_millis(210));
        issuer.now_answers(move |_| fault.clone());
        let answer = uploaded();
        assert_eq!((answer.status, code_of(&answer).as_str()), (503, "identity_unavailable"), "{what}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    assert_nothing_left(&server);
    thread::sleep(Duration::from_millis(210));
    issuer.now_answers(move |_| set(&good));
    assert_eq!(uploaded().status, 200, "it is back");
    let fetched_at = Instant::now();
    drop(issuer);
    // Keys that are there count while the issuer is away, and not for ever.
    while uploaded().status == 200 {
        assert!(fetched_at.elapsed() < Duration::from_secs(6));
        thread::sleep(Duration::from_millis(100));
    }
    let lasted = fetched_at.elapsed();
    assert!(lasted > Duration::from_millis(2_500), "{lasted:?}");
    assert_eq!(uploaded().status, 503);
    println!("without its issuer for {lasted:?}, then 503");
}

#[test]
fn keys_in_a_file_and_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let (first, second) = (Key::es(), Key::rsa());
    std::fs::write(&file, json!({"keys": [first.jwk("first")]}).to_string()).unwrap();
    let server = jwt()
        .env("FILMGATE__IDENTITY__JWT__JWKS_FILE", file.to_str().unwrap())
        .env("FILMGATE__IDENTITY__JWT__REFETCH_MS", "100")
        .start()
        .unwrap();
    assert_eq!(status(&server, &first.good("first")), 200);
    assert_eq!(status(&server, &second.good("second")), 401);
    std::fs::write(&file, json!({"keys": [first.jwk("first"), second.jwk("second")]}).to_string()).unwrap();
    thread::sleep(Duration::from_millis(110));
    assert_eq!(status(&server, &second.good("second")), 200, "read again");

    let secret = "0123456789abcdef0123456789abcdef";
    let server = jwt().env("FILMGATE__IDENTITY__JWT__SECRET", secret).start().unwrap();
    let key = Key::hs(secret.as_bytes());
    assert_eq!(status(&server, &key.good("any name")), 200);
    assert_eq!(status(&server, &key.token(&json!({"alg": "HS256"}), &claims(&json!({})))), 200);
    assert_eq!(status(&server, &Key::hs(b"another secret of that length...").good("x")), 401);
    assert_eq!(status(&server, &key.token(&json!({"alg": "HS512"}), &claims(&json!({})))), 401);
    assert_eq!(status(&server, &first.good("first")), 401);
    assert!(!server.log().contains(secret));
}
