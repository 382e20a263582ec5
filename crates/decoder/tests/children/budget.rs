//! One budget of memory for all.

use std::time::Duration;

use decoder::{DecodeError, DecoderOptions};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::orphans::children_with_niceness;
use crate::support::{MIB, Pool, comes_true, commented, options, photo, weight_bytes};

fn large(fault: &str) -> Vec<u8> {
    commented(&photo(1600, 1200), &format!("FILMGATE-FAULT-{fault}"))
}

fn pool(memory_bytes_max: u64) -> Pool {
    Pool::new(DecoderOptions { memory_bytes_max, ..options() })
}

fn start(pool: &Pool, photo: Vec<u8>) -> JoinHandle<Result<(), DecodeError>> {
    let decoder = pool.decoder.clone();
    tokio::spawn(async move { decoder.verify(photo).await })
}

/// A budget in which one large photo leaves room for a small one, and for no other.
fn budget_bytes() -> u64 {
    let small_bytes = weight_bytes(&photo(64, 48));
    assert!(small_bytes * 2 < weight_bytes(&large("NONE")), "the control: they differ");
    weight_bytes(&large("NONE")) + small_bytes
}

#[tokio::test]
async fn two_that_do_not_fit_run_one_after_another() {
    let pool = pool(budget_bytes());
    let first = start(&pool, large("HANG"));
    pool.wait_until("decoder_children", 1).await;
    let second = start(&pool, large("NONE"));
    pool.wait_until("decoder_waiting", 1).await;
    // The first hangs, and the second has a place: only memory keeps it.
    sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished());
    assert_eq!(pool.metric("decoder_children"), 1);
    assert_eq!(pool.metric("decoder_waiting"), 1);
    first.abort();
    second.await.unwrap().unwrap();
    pool.wait_until("decoder_memory_bytes", 0).await;
}

#[tokio::test]
async fn two_that_fit_run_side_by_side() {
    // The control: with twice the budget nobody waits.
    let pool = pool(2 * budget_bytes());
    let first = start(&pool, large("HANG"));
    pool.wait_until("decoder_children", 1).await;
    start(&pool, large("NONE")).await.unwrap().unwrap();
    assert!(!first.is_finished());
    first.abort();
}

#[tokio::test]
async fn the_large_one_is_not_overtaken_for_ever() {
    let pool = Pool::new(DecoderOptions { processes_max: 3, memory_bytes_max: budget_bytes(), ..options() });
    let first = start(&pool, large("HANG"));
    pool.wait_until("decoder_children", 1).await;
    let large = start(&pool, large("NONE"));
    pool.wait_until("decoder_waiting", 1).await;
    let small = start(&pool, photo(64, 48));
    // There would be memory for the small one, but the large one came first.
    sleep(Duration::from_millis(500)).await;
    assert!(!small.is_finished());
    first.abort();
    large.await.unwrap().unwrap();
    small.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_photo_over_the_whole_budget_is_refused_with_the_setting_to_raise() {
    let over_bytes = weight_bytes(&large("NONE")) - MIB;
    let pool = pool(over_bytes);
    let DecodeError::Undecodable(why) = pool.decoder.develop(large("NONE")).await.unwrap_err() else {
        panic!("it was not refused")
    };
    let needs = "the photo needs ";
    let allows =
        format!(" MB of memory to decode; processing.decode_memory_bytes_max allows {} MB", over_bytes / 1_000_000);
    let needed = why.strip_prefix(needs).and_then(|rest| rest.strip_suffix(allows.as_str()));
    let needed = needed.unwrap_or_else(|| panic!("{why}")).parse::<u64>().unwrap();
    assert!(needed > over_bytes / 1_000_000, "{why}");
    assert_eq!(pool.metric("decoder_children"), 0, "it was not even tried");
    pool.decoder.verify(photo(64, 48)).await.unwrap();
}

#[tokio::test]
async fn a_photo_that_just_fits_is_decoded() {
    // The control of the last.
    let pool = pool(weight_bytes(&large("NONE")));
    pool.decoder.develop(large("NONE")).await.unwrap();
}

#[tokio::test]
async fn a_child_is_held_to_what_its_photo_was_allowed() {
    let pool = Pool::new(DecoderOptions { niceness: 13, ..options() });
    let decode = start(&pool, large("HANG"));
    let allowed_bytes = || {
        let limits = children_with_niceness(13).first()?.file("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let weight_bytes = weight_bytes(&large("NONE"));
    // Before the photo comes it is held to the whole budget. Then to the photo's weight beyond what it had: the program
    // and its libraries, and the allocator's slack, which take less than 64 MiB.
    let near = |bytes: u64| (weight_bytes + 1..weight_bytes + 64 * MIB).contains(&bytes);
    assert!(weight_bytes + 64 * MIB < options().memory_bytes_max, "the control: the whole budget is not near");
    assert!(comes_true(|| allowed_bytes().is_some_and(near)).await, "{:?}", allowed_bytes());
    decode.abort();
}
