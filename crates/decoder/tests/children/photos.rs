//! What becomes of photos that are as they should be.

use decoder::DecodeError;
use tokio::task::JoinSet;

use crate::support::{Pool, commented, every_format, options, photo, weight_bytes};

#[tokio::test]
async fn a_photo_comes_back_as_it_does_in_one_process() {
    let pool = Pool::new(options());
    let jpeg = photo(800, 600);
    let alone = imaging::develop(&jpeg, &options().recipe).unwrap();
    assert_eq!(alone.derivatives.len(), 4, "the control");
    // Not assert_eq: nobody wants to read the bytes of eight pictures.
    assert!(pool.decoder.develop(jpeg).await.unwrap() == alone);
    assert_eq!(pool.metric("decodes_total{outcome=\"decoded\"}"), 1);
    assert_eq!(pool.metric("decode_seconds_count"), 1);
}

#[tokio::test]
async fn every_format_is_decoded_within_its_own_estimate() {
    for (format, photo) in every_format(2000, 1500) {
        // Not a byte more than its own weight, and under the filter: an estimate too small, or a system call that is
        // not on the list, is a death here.
        let pool = Pool::new(decoder::DecoderOptions { memory_bytes_max: weight_bytes(&photo), ..options() });
        for _ in 0..2 {
            let developed = pool.decoder.develop(photo.clone()).await;
            let developed = developed.unwrap_or_else(|error| panic!("{format}: {error}"));
            assert_eq!((developed.width_px, developed.height_px), (2000, 1500), "{format}");
            pool.decoder.verify(photo.clone()).await.unwrap_or_else(|error| panic!("{format}: {error}"));
            pool.decoder.strip(photo.clone()).await.unwrap_or_else(|error| panic!("{format}: {error}"));
        }
        assert_eq!(pool.metric("decodes_total{outcome=\"decoded\"}"), 6);
    }
}

#[tokio::test]
async fn a_photo_is_verified() {
    let pool = Pool::new(options());
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    let mut broken = photo(64, 48);
    let half = broken.len() / 2;
    broken.truncate(half);
    let refused = pool.decoder.verify(broken).await.unwrap_err();
    assert!(matches!(refused, DecodeError::Undecodable(_)), "{refused:?}");
}

#[tokio::test]
async fn a_photo_is_stripped() {
    let pool = Pool::new(options());
    let bare = photo(64, 48);
    let secret = "taken at home";
    let stripped = pool.decoder.strip(commented(&bare, secret)).await.unwrap();
    let has_secret = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(has_secret(&commented(&bare, secret)), "the control");
    assert!(!has_secret(&stripped));
    pool.decoder.verify(stripped).await.unwrap();
}

#[tokio::test]
async fn what_is_no_photo_is_refused_without_a_child() {
    let pool = Pool::new(options());
    for bytes in [Vec::new(), b"<svg/>".to_vec()] {
        let refused = pool.decoder.develop(bytes).await.unwrap_err();
        assert!(matches!(refused, DecodeError::Undecodable(_)), "{refused:?}");
    }
    assert_eq!(pool.metric("decoder_children"), 0);
    assert_eq!(pool.metric("decodes_total{outcome=\"undecodable\"}"), 2);
}

#[tokio::test]
async fn what_only_decoding_finds_is_told_and_the_child_goes_on() {
    let pool = Pool::new(options());
    // Its structure is whole, its compressed data is not: every byte of the scan is the same.
    let mut broken = photo(64, 48);
    let scan = broken.windows(2).position(|window| window == [0xff, 0xda]).unwrap() + 14;
    let end = broken.len() - 2;
    broken[scan..end].fill(0x55);
    imaging::inspect(std::io::Cursor::new(&broken), &options().recipe.limits).unwrap();
    let alone = imaging::verify(&broken, &options().recipe);
    let told = pool.decoder.verify(broken).await;
    assert_eq!(told, alone.map_err(DecodeError::from));
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    assert_eq!(pool.metric("decoder_children"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_photos_share_two_children() {
    let pool = Pool::new(options());
    let mut decodes = JoinSet::new();
    for at in 0..100_u16 {
        let decoder = pool.decoder.clone();
        decodes.spawn(async move { (at, decoder.develop(photo(64 + at, 48)).await.unwrap()) });
    }
    let mut children_most = 0;
    while let Some(done) = decodes.join_next().await {
        let (at, developed) = done.unwrap();
        assert_eq!(developed.width_px, u32::from(64 + at), "another photo's answer");
        children_most = children_most.max(pool.metric("decoder_children"));
    }
    assert_eq!(children_most, 2);
    assert_eq!(pool.metric("decodes_total{outcome=\"decoded\"}"), 100);
    for gauge in ["decoder_memory_bytes", "decoder_waiting"] {
        assert_eq!(pool.metric(gauge), 0, "{gauge}");
    }
}
