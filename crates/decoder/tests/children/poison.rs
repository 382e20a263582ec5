//! Photos that ruin their child: each ends its own decode and no other.

use std::time::Duration;

use decoder::DecodeError;

use crate::support::{Pool, commented, options, photo, poison, weight_bytes};

/// Plays a fault, then sees that the next photo is decoded as if nothing had been.
async fn play(fault: &str, timeout: Duration) -> String {
    let pool = Pool::new(decoder::DecoderOptions { processes_max: 1, timeout, ..options() });
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    let DecodeError::Died(why) = pool.decoder.develop(poison(fault)).await.unwrap_err() else {
        panic!("{fault} was not taken for a death")
    };
    assert_eq!(pool.metric("decoder_children"), 0, "the child of {fault} is still there");
    assert_eq!(pool.metric("decoder_memory_bytes"), 0);
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    why
}

#[tokio::test]
async fn a_fault_that_nobody_knows_harms_nobody() {
    // The control: the marker alone does nothing.
    let pool = Pool::new(options());
    pool.decoder.verify(poison("NONE")).await.unwrap();
}

#[tokio::test]
async fn an_abort_ends_that_decode_alone() {
    let why = play("ABORT", options().timeout).await;
    assert_eq!(why, "the decoder died (SIGABRT): a fault was asked for");
}

#[tokio::test]
async fn a_hang_ends_at_the_timeout() {
    let why = play("HANG", Duration::from_secs(2)).await;
    assert_eq!(why, "decoding took longer than 2 s");
}

#[tokio::test]
async fn memory_without_end_ends_at_the_estimate() {
    let why = play("ALLOCATE", options().timeout).await;
    let megabytes = (weight_bytes(&poison("ALLOCATE")) + 500_000) / 1_000_000;
    assert_eq!(why, format!("the decoder ran out of its {megabytes} MB of memory"));
}

#[tokio::test]
async fn a_panic_says_where_and_nothing_of_the_photo() {
    let why = play("PANIC", options().timeout).await;
    assert!(why.starts_with("the decoder died (SIGABRT): a panic at "), "{why}");
    assert!(why.contains("src/child/faults.rs:"), "{why}");
    assert!(!why.contains("FILMGATE-FAULT"), "{why}");
    assert!(!why.contains(env!("CARGO_MANIFEST_DIR")), "{why}");
}

#[tokio::test]
async fn each_death_is_counted_by_its_kind() {
    let pool = Pool::new(decoder::DecoderOptions { timeout: Duration::from_secs(2), ..options() });
    for fault in ["ABORT", "HANG"] {
        pool.decoder.verify(poison(fault)).await.unwrap_err();
    }
    assert_eq!(pool.metric("decodes_total{outcome=\"died\"}"), 1);
    assert_eq!(pool.metric("decodes_total{outcome=\"timed_out\"}"), 1);
    assert_eq!(pool.metric("decodes_total{outcome=\"decoded\"}"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_among_others_ruins_none_of_them() {
    let pool = Pool::new(options());
    let decodes = (0..20).map(|at| {
        let decoder = pool.decoder.clone();
        let photo = if at % 4 == 0 { poison("ABORT") } else { commented(&photo(64, 48), "well") };
        tokio::spawn(async move { (at % 4 == 0, decoder.verify(photo).await) })
    });
    for decode in decodes.collect::<Vec<_>>() {
        let (poisoned, ended) = decode.await.unwrap();
        assert_eq!(ended.is_err(), poisoned, "{ended:?}");
    }
}
