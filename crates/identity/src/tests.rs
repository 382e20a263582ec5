use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use records::{CatalogOptions, Records, Role};

use crate::{Caller, Error, Identity, IdentityOptions, ProviderOptions};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

struct Setting {
    identity: Identity,
    records: Records,
    seconds: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(&folder.path().join("catalog.sqlite"), &CatalogOptions::default()).unwrap();
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let options = IdentityOptions {
        sign_in_duration: Duration::from_hours(1),
        password_bytes_min: 10,
        sign_ins_per_minute_per_user: 3,
        sign_ins_per_minute_per_address: 5,
        shared_guesses: None,
        password_hashing_parallel: 1,
        provider: ProviderOptions::Local,
        admin_user_ids: Vec::new(),
    };
    let clock = seconds.clone();
    let clock: crate::Clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap());
    Setting { identity: Identity::new(records.clone(), options, clock).unwrap(), records, seconds, _folder: folder }
}

async fn anna(setting: &Setting) -> records::User {
    setting.identity.create_user("Anna", "correct horse".to_owned(), Role::Participant).await.unwrap()
}

#[tokio::test]
async fn the_right_password_signs_in_with_a_fresh_secret_each_time() {
    let setting = setting();
    let user = anna(&setting).await;
    let one = setting.identity.sign_in("anna", "correct horse".to_owned(), HOME).await.unwrap();
    let two = setting.identity.sign_in("Anna", "correct horse".to_owned(), HOME).await.unwrap();
    assert_ne!(one.secret, two.secret);
    for sign_in in [&one, &two] {
        let caller = setting.identity.by_sign_in(&sign_in.secret).await.unwrap();
        assert!(matches!(caller, Some(Caller::User { user: found, sign_in: Some(_) }) if found.id == user.id));
    }
    assert!(setting.identity.by_sign_in("0".repeat(64).as_str()).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_unknown_and_inactive_are_refused_alike() {
    let setting = setting();
    let user = anna(&setting).await;
    for (name, password) in [("anna", "wrong horse!"), ("nobody", "correct horse")] {
        let error = setting.identity.sign_in(name, password.to_owned(), HOME).await.unwrap_err();
        assert!(matches!(error, Error::WrongCredentials), "{name}: {error}");
    }
    setting.identity.change_user(user.id, None, None, Some(false)).await.unwrap();
    let error = setting.identity.sign_in("anna", "correct horse".to_owned(), HOME).await.unwrap_err();
    assert!(matches!(error, Error::WrongCredentials), "{error}");
}

#[tokio::test]
async fn guesses_are_limited_for_the_guesser_and_nobody_else() {
    let setting = setting();
    anna(&setting).await;
    let mut refused = 0;
    for _ in 0..6 {
        match setting.identity.sign_in("anna", "wrong horse!".to_owned(), HOME).await.unwrap_err() {
            Error::TooManyGuesses { retry_after } => {
                assert!(retry_after >= Duration::from_secs(1));
                refused += 1;
            }
            Error::WrongCredentials => {}
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 3, "{refused} refused");
    setting.identity.sign_in("anna", "correct horse".to_owned(), ELSEWHERE).await.unwrap();
}

#[tokio::test]
async fn sign_ins_end_by_time_by_sign_out_and_by_a_new_password() {
    let setting = setting();
    let user = anna(&setting).await;
    let begin = || setting.identity.begin_sign_in(user.clone());
    let alive = async |secret: &str| setting.identity.by_sign_in(secret).await.unwrap().is_some();

    let old = begin().await.unwrap();
    setting.seconds.fetch_add(3601, Ordering::Relaxed);
    assert!(!alive(&old.secret).await);

    let ended = begin().await.unwrap();
    let other = begin().await.unwrap();
    setting.records.end_sign_in(crate::hash_of(&ended.secret)).await.unwrap();
    assert!(!alive(&ended.secret).await);
    assert!(alive(&other.secret).await);

    setting.identity.change_user(user.id, Some("another horse".to_owned()), None, None).await.unwrap();
    assert!(!alive(&other.secret).await);
}

/// Checking a password takes long: a new one may be set meanwhile.
#[tokio::test]
async fn no_sign_in_with_the_old_password_outlives_a_new_one() {
    let setting = setting();
    let user = anna(&setting).await;
    let signing_in = setting.identity.sign_in("anna", "correct horse".to_owned(), HOME);
    let change = records::UserChange { password_hash: Some("another".to_owned()), ..records::UserChange::default() };
    let changing = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        setting.records.change_user(user.id, change).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(signing_in, changing);
    if let Ok(sign_in) = outcome {
        assert!(setting.identity.by_sign_in(&sign_in.secret).await.unwrap().is_none());
    }
    assert_eq!(setting.records.end_sign_ins_of(user.id).await.unwrap(), 0);
}

#[tokio::test]
async fn tokens_act_until_revoked_or_expired() {
    let setting = setting();
    let user = anna(&setting).await;
    let (token, secret) = setting.identity.create_token("backend", None, None).await.unwrap();
    assert!(matches!(setting.identity.by_token(&secret).await.unwrap(), Some(Caller::Service)));
    setting.records.revoke_token(token.id, Timestamp::from_second(1).unwrap()).await.unwrap();
    assert!(setting.identity.by_token(&secret).await.unwrap().is_none());

    let until = Timestamp::from_second(1_800_000_060).unwrap();
    let (_, secret) = setting.identity.create_token("script", Some(user.id), Some(until)).await.unwrap();
    assert!(matches!(setting.identity.by_token(&secret).await.unwrap(), Some(Caller::User { sign_in: None, .. })));
    setting.seconds.fetch_add(61, Ordering::Relaxed);
    assert!(setting.identity.by_token(&secret).await.unwrap().is_none());
    assert!(setting.identity.by_token("fgt_short").await.unwrap().is_none());
}

#[tokio::test]
async fn passwords_and_names_keep_rules() {
    let setting = setting();
    for (name, password) in [("anna", "short"), ("", "correct horse"), ("a\u{7}b", "correct horse")] {
        setting.identity.create_user(name, password.to_owned(), Role::Participant).await.unwrap_err();
    }
    anna(&setting).await;
    let error = setting.identity.create_user("ANNA", "correct horse".to_owned(), Role::Participant).await.unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}
