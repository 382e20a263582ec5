//! Guesses at passwords, counted by several nodes over one real Redis, and by each for itself where there is none.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::{Error, Identity, IdentityOptions, SharedGuesses};
use jiff::Timestamp;
use records::{CatalogOptions, Records, Role};
use testkit::rig::redis::Redis;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 78));
const PER_USER: u32 = 4;
const PER_ADDRESS: u32 = 10;
const RIGHT: &str = "correct horse";
/// No sign-in waits for Redis longer than this: its own wait, a password's hash and a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

/// Several nodes over one catalog.
struct Nodes {
    nodes: Vec<Identity>,
    _folder: tempfile::TempDir,
}

impl Nodes {
    async fn start(count: usize, redis_url: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(&folder.path().join("catalog.sqlite"), &CatalogOptions::default()).unwrap();
        let node = || {
            let options = IdentityOptions {
                sign_in_duration: Duration::from_hours(1),
                password_bytes_min: 10,
                sign_ins_per_minute_per_user: PER_USER,
                sign_ins_per_minute_per_address: PER_ADDRESS,
                shared_guesses: redis_url
                    .clone()
                    .map(|redis_url| SharedGuesses { redis_url, key_prefix: "test:".to_owned() }),
                password_hashing_parallel: 1,
                provider: identity::ProviderOptions::Local,
                admin_user_ids: Vec::new(),
            };
            Identity::new(records.clone(), options, Arc::new(Timestamp::now)).unwrap()
        };
        let nodes: Vec<_> = (0..count).map(|_| node()).collect();
        nodes[0].create_user("Anna", RIGHT.to_owned(), Role::Participant).await.unwrap();
        Self { nodes, _folder: folder }
    }

    /// Guesses at each node in turn; how many were looked at before each node refused one.
    async fn guesses(&self, username: impl Fn(usize) -> String, address: IpAddr) -> u32 {
        let (mut taken, mut refused) = (0, vec![false; self.nodes.len()]);
        for number in 0.. {
            let node = number % self.nodes.len();
            if refused.iter().all(|refused| *refused) {
                break;
            }
            match self.nodes[node].sign_in(&username(number), "wrong horse!".to_owned(), address).await.unwrap_err() {
                Error::WrongCredentials => taken += 1,
                Error::TooManyGuesses { retry_after } => {
                    assert!((1..=62).contains(&retry_after.as_secs()), "{retry_after:?}");
                    refused[node] = true;
                }
                other => panic!("{other}"),
            }
        }
        taken
    }
}

/// One is given back in a quarter of a minute, and a busy machine may take that long.
#[track_caller]
fn about(taken: u32, expected: u32) {
    assert!((expected..=expected + 2).contains(&taken), "{taken} guesses were looked at, not about {expected}");
}

#[tokio::test]
async fn nodes_count_guesses_at_a_user_together() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(3, Some(redis.url())).await;
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, PER_USER);
    // Written otherwise it is the same user; and whoever guesses locks nobody out elsewhere.
    let again = nodes.nodes[1].sign_in("ANNA", RIGHT.to_owned(), HOME).await;
    assert!(matches!(again, Err(Error::TooManyGuesses { .. })), "{again:?}");
    nodes.nodes[1].sign_in("anna", RIGHT.to_owned(), ELSEWHERE).await.unwrap();
}

#[tokio::test]
async fn nodes_count_guesses_from_an_address_together() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(3, Some(redis.url())).await;
    let taken = nodes.guesses(|number| format!("user {number}"), HOME).await;
    assert!((PER_ADDRESS..=PER_ADDRESS + 4).contains(&taken), "{taken}");
}

/// What the others show would show here too if nothing were shared.
#[tokio::test]
async fn without_redis_each_counts_for_itself() {
    let nodes = Nodes::start(2, None).await;
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, 2 * PER_USER);
}

#[tokio::test]
async fn a_redis_that_dies_makes_no_sign_in_fail_and_lets_no_guess_go() {
    let mut redis = Redis::start().unwrap();
    let nodes = Nodes::start(2, Some(redis.url())).await;
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    redis.kill();
    let began = Instant::now();
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    // Two of the first node's are spent already: it counted them too while Redis was there.
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, 2 * PER_USER - 2);

    redis.start_again().unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    about(nodes.guesses(|_| "berta".to_owned(), ELSEWHERE).await, PER_USER);
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_a_moment_and_once() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(2, Some(redis.url())).await;
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    redis.pause();
    let began = Instant::now();
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    assert!((Duration::from_millis(250)..PROMPT).contains(&began.elapsed()), "{:?}", began.elapsed());
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, 2 * PER_USER - 2);
    redis.go_on();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    about(nodes.guesses(|_| "berta".to_owned(), ELSEWHERE).await, PER_USER);
}

#[tokio::test]
async fn a_connection_that_redis_ended_is_made_anew_at_once() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(2, Some(redis.url())).await;
    for node in &nodes.nodes {
        node.sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    }
    let ended = redis.ask("CLIENT KILL TYPE normal SKIPME yes").unwrap();
    assert_eq!(ended, ":2", "one connection for each node");
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, PER_USER - 2);
}

#[tokio::test]
async fn a_redis_that_refuses_us_is_as_good_as_none() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(2, Some(redis.url())).await;
    assert_eq!(redis.ask("CONFIG SET requirepass another").unwrap(), "+OK");
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    about(nodes.guesses(|_| "anna".to_owned(), HOME).await, 2 * PER_USER - 1);
    let nonsense = Nodes::start(1, Some("nonsense".to_owned())).await;
    about(nonsense.guesses(|_| "anna".to_owned(), HOME).await, PER_USER);
}

#[tokio::test]
async fn redis_learns_no_names_and_forgets() {
    let redis = Redis::start().unwrap();
    let nodes = Nodes::start(2, Some(redis.url())).await;
    nodes.nodes[0].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    nodes.nodes[1].sign_in("anna", RIGHT.to_owned(), HOME).await.unwrap();
    assert_eq!(redis.keys().unwrap(), 2, "one for the address, one for the user");
    let script = "EVAL \"local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
                  all[#all+1] = key .. '=' .. redis.call('GET', key) .. '=' .. redis.call('PTTL', key) end \
                  return table.concat(all, ' ')\" 0";
    let told = redis.ask_text(script).unwrap();
    let entries: Vec<&str> = told.split(' ').collect();
    assert_eq!(entries.len(), 2, "{told}");
    for entry in entries {
        let [key, value, lives_ms] = entry.split('=').collect::<Vec<_>>().try_into().unwrap();
        let kinds = ["test:guesses:user:", "test:guesses:address:"];
        let digest = kinds.iter().find_map(|kind| key.strip_prefix(kind)).unwrap_or_else(|| panic!("{key}"));
        assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
        assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "{entry}");
        let lives_ms: u64 = lives_ms.parse().unwrap();
        assert!((1..=60_000).contains(&lives_ms), "{entry}");
    }
}
