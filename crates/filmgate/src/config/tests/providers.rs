//! Whose users ask: sections below a section, lists of secrets and of numbers, and what a provider needs.

use super::super::{Config, Provider, Secret, SessionProtection, report};
use super::One::{Env, File, Flag};
use super::{Input, check_all, file, load, messages, shown};

const FLASK: &str = "[identity]\nprovider = \"flask\"\n[identity.flask]\n";

#[test]
fn a_section_below_a_section_in_every_layer_and_notation() {
    let expect = |config: &Config, source: &str| {
        assert_eq!(config.flask.cookie_name, "assessment");
        assert_eq!(shown(config, "identity.flask.cookie_name"), format!("\"assessment\" from {source}"));
    };
    for (text, line) in [
        ("[identity.flask]\ncookie_name = \"assessment\"", "2:15"),
        ("[identity]\nflask.cookie_name = \"assessment\"", "2:21"),
        ("identity.flask.cookie_name = \"assessment\"", "1:30"),
        ("[identity]\nflask = { cookie_name = \"assessment\" }", "2:25"),
    ] {
        expect(&load(file(text)).unwrap(), &format!("filmgate.toml:{line}"));
    }
    let env = &[("FILMGATE__IDENTITY__FLASK__COOKIE_NAME", "assessment")];
    expect(&load(Input { env, ..Input::default() }).unwrap(), "environment FILMGATE__IDENTITY__FLASK__COOKIE_NAME");
    let flags = &[("identity.flask.cookie_name", "assessment")];
    expect(&load(Input { flags, ..Input::default() }).unwrap(), "flag identity.flask.cookie_name");
}

#[test]
fn names_below_a_section_that_are_none() {
    check_all(&[
        (
            File("[identity.flaks]\ncookie_name = \"x\""),
            "
                FILE:1:11: unknown section [identity.flaks]
                hint: did you mean [identity.flask]?
            ",
        ),
        (
            File("[identity.flask]\ncookie = \"x\""),
            "
                FILE:2:1: unknown setting identity.flask.cookie
                hint: did you mean cookie_name?
            ",
        ),
        (
            File("[identity]\ncookie_name = \"x\""),
            "
                FILE:2:1: unknown setting identity.cookie_name
                hint: did you mean cookie_name in [identity.flask]?
            ",
        ),
        (
            File("[flask]\ncookie_name = \"x\""),
            "
                FILE:1:2: unknown section [flask]
                hint: the sections are server, ingest, records, blobs, processing, jobs, webhook, celery, identity, identity.flask, identity.forward, identity.jwt, host, log, api
            ",
        ),
        (
            File("[identity]\nflask = \"x\""),
            "
                FILE:2:1: identity.flask is a section, not a setting
                hint: write [identity.flask], and its settings below
            ",
        ),
        (
            Env("FILMGATE__IDENTITY__FLASK__SALTS", "x"),
            "
                environment FILMGATE__IDENTITY__FLASK__SALTS: no setting has this name
                hint: did you mean FILMGATE__IDENTITY__FLASK__SALT?
            ",
        ),
    ]);
}

#[test]
fn a_provider_without_what_it_needs() {
    check_all(&[
        (
            File("identity.provider = \"flask\""),
            "
                FILE:1:21: identity.provider is \"flask\", and identity.flask.secret_keys is not right for it: no cookie of the app could be read
                allowed: the app's SECRET_KEY, and its SECRET_KEY_FALLBACKS after it; best from a file of its own: secret_keys_file
                hint: set identity.flask.secret_keys; docs/identity.md has an example
            ",
        ),
        (
            File("identity.provider = \"forward\""),
            "
                FILE:1:21: identity.provider is \"forward\", and identity.forward.url is not right for it: there is nobody to ask
                allowed: the app's address that says who is signed in
                hint: set identity.forward.url; docs/identity.md has an example
            ",
        ),
        (
            File(r#"identity = { provider = "jwt", jwt = { jwks_file = "k", jwks_url = "https://x/y", issuer = "i" } }"#),
            "
                FILE:1:25: identity.provider is \"jwt\", and identity.jwt.jwks_url is not right for it: tokens are held against the keys of one place
                allowed: one of jwks_url, jwks_file and secret, and no two of them
                hint: set identity.jwt.jwks_url; docs/identity.md has an example
                FILE:1:25: identity.provider is \"jwt\", and identity.jwt.audiences is not right for it: tokens for every other program would count here
                allowed: what the tokens for Filmgate have in \"aud\"
                hint: set identity.jwt.audiences; docs/identity.md has an example
            ",
        ),
        (
            File("identity = { provider = \"forward\", forward = { url = \"me:hunter2@host\" } }"),
            "
                FILE:1:54: identity.forward.url: is no address of a web server
                allowed: \"https://HOST/PATH\", or http:// on this machine or a private network; or empty
                hint: the default is url = \"\"
            ",
        ),
        (
            File("identity.jwt.secret = \"hunter2\""),
            "
                FILE:1:23: identity.jwt.secret: is shorter than 32 bytes, and could be guessed from one token
                allowed: 32 bytes or more, as the issuer has it; or empty
                hint: make one for both sides: head -c 32 /dev/urandom | base64 -w0
            ",
        ),
        (
            File("identity.forward.user_headers = [\"X-User\", \"a b\"]"),
            "
                FILE:1:44: identity.forward.user_headers: `a b` is no header's name
                allowed: names of headers, as [\"X-Auth-Request-User\"]
                hint: the default is user_headers = [\"X-Auth-Request-User\", \"Remote-User\"]
            ",
        ),
    ]);
    assert_eq!(messages(file("identity.flask.secret_keys = [\"k\"]")), "fine", "not in use, and not in the way");
    let config = load(file(&format!("{FLASK}secret_keys = [\"new\", \"old\"]"))).unwrap();
    assert_eq!(config.identity.provider, Provider::Flask);
    assert_eq!(config.flask.session_protection, SessionProtection::Basic);
}

#[test]
fn keys_of_an_app() {
    let good = [
        (
            Input { env: &[("FILMGATE__IDENTITY__FLASK__SECRET_KEYS", "new, old")], ..Input::default() },
            vec!["new", "old"],
        ),
        (file("identity.flask.secret_keys = [\"a, b\", \" c \"]"), vec!["a, b", " c "]),
        (
            Input {
                file: "identity.flask.secret_keys_file = \"DIR/keys\"",
                beside: &[("keys", "a, b\r\n\n c \nbase64:AAEC\n")],
                ..Input::default()
            },
            vec!["a, b", " c ", "base64:AAEC"],
        ),
    ];
    for (input, expect) in good {
        let config = load(input).unwrap();
        let keys: Vec<&str> = config.flask.secret_keys.iter().map(Secret::expose).collect();
        assert_eq!(keys, expect);
        assert!(!format!("{config:?} {}", report(&config)).contains(expect[0]), "never shown");
        assert!(report(&config).to_string().contains("identity.flask.secret_keys = [\"***\", \"***\""));
    }
    for text in ["\"hunter2\"", "[\"base64:hunter2!\"]", "[\"\"]", "[\"k\", \"base64:\"]", "[5]", "[[\"hunter2\"]]"] {
        let said = messages(file(&format!("identity.flask.secret_keys = {text}")));
        assert!(said.contains("identity.flask.secret_keys: ") && !said.contains("hunter2"), "{text}\n{said}");
    }
    check_all(&[
        (
            File("identity.flask.secret_keys = [\"k\", \"base64:hunter2!\"]"),
            "
                FILE:1:36: identity.flask.secret_keys: what follows base64: is not base64
                allowed: the app's SECRET_KEY, then its SECRET_KEY_FALLBACKS, each a text or \"base64:…\"
                hint: copy it as the app has it; nobody can sign with another
            ",
        ),
        (
            File("identity.flask.cookie_name = \"a b\""),
            "
                FILE:1:30: identity.flask.cookie_name: `a b` is no cookie's name
                allowed: the name of a cookie, as \"session\"
                hint: the default is cookie_name = \"session\"
            ",
        ),
        (
            Flag("identity.flask.remember_cookie_name", "filmgate_sign_in"),
            "
                flag identity.flask.remember_cookie_name: identity.flask.remember_cookie_name: `filmgate_sign_in` is Filmgate's own cookie, which no app makes
                allowed: the name of a cookie, as \"remember_token\"; or empty
                hint: the default is identity.flask.remember_cookie_name=remember_token
            ",
        ),
        (
            File("identity.flask.salt = \"\""),
            "
                FILE:1:23: identity.flask.salt: is empty
                allowed: the salt of the app's session interface; Flask's own is \"cookie-session\"
                hint: the default is salt = \"cookie-session\"
            ",
        ),
    ]);
}

#[test]
fn lists_of_numbers() {
    let numbers = |input| load(input).unwrap().identity.admin_user_ids;
    assert_eq!(numbers(file("identity.admin_user_ids = [1, 4_711, 0x10]")), [1, 4_711, 16]);
    let env = &[("FILMGATE__IDENTITY__ADMIN_USER_IDS", "1, 4_711")];
    let config = load(Input { env, ..Input::default() }).unwrap();
    assert_eq!(config.identity.admin_user_ids, [1, 4_711]);
    assert!(report(&config).to_string().contains("identity.admin_user_ids = [1, 4711]  "));
    check_all(&[
        (
            File("identity.admin_user_ids = [1, \"anna\"]"),
            "
                FILE:1:31: identity.admin_user_ids: a text stands where a whole number belongs
                allowed: whole numbers from 0 on, as [1, 7]
                hint: the default is admin_user_ids = []
            ",
        ),
        (
            File("identity.admin_user_ids = [-1]"),
            "
                FILE:1:28: identity.admin_user_ids: `-1` is not a whole number from 0 on
                allowed: whole numbers from 0 on, as [1, 7]
                hint: the default is admin_user_ids = []
            ",
        ),
        (
            Env("FILMGATE__IDENTITY__ADMIN_USER_IDS", "1, anna"),
            "
                environment FILMGATE__IDENTITY__ADMIN_USER_IDS: identity.admin_user_ids: `anna` is not a whole number from 0 on
                allowed: whole numbers from 0 on, as [1, 7]
                hint: the default is FILMGATE__IDENTITY__ADMIN_USER_IDS=
            ",
        ),
    ]);
}
