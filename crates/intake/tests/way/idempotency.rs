//! A key stores once and answers always.

use futures_util::{StreamExt, stream};
use intake::{Receipt, Refusal, Upload};
use jiff::Timestamp;
use records::{IdempotencyRecord, Recording};
use testkit::Form;

use crate::support::{ANNA, BEN, House, batch, body, frame, house, keyed};

async fn check(house: &House, upload: Upload, form: &Form, expect: Result<&Receipt, &str>) {
    match (house.send(upload, form).await, expect) {
        (Ok(receipt), Ok(first)) => {
            assert!(receipt.replayed);
            assert_eq!((&receipt.captures, &receipt.skipped), (&first.captures, &first.skipped));
        }
        (Err(refusal), Err(code)) => assert_eq!(refusal.code(), code, "{refusal}"),
        (got, expect) => panic!("{got:?} for {expect:?}"),
    }
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_stores_nothing_twice() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL"), (2, "MANUAL")]);
    let first = house.send(keyed("k"), &form).await.unwrap();
    check(&house, keyed("k"), &form, Ok(&first)).await;
    check(&house, keyed("\"k\""), &form, Ok(&first)).await;
    // A retry has another boundary, and its parts may come in another order.
    let other = Upload { boundary: "b".to_owned(), ..keyed("k") };
    check(&house, other, &form.clone().boundary("b"), Ok(&first)).await;
    let turned = Form::new()
        .text("metadata_1", r#"{"trigger":"MANUAL"}"#)
        .text("metadata_0", r#"{"trigger":"INTERVAL"}"#)
        .file("capture_1", "another name", "", &frame(2))
        .file("capture_0", "n", "", &frame(1))
        .text("session_id", &house.session.to_string());
    check(&house, keyed("k"), &turned, Ok(&first)).await;

    let reused = Err("idempotency_key_reused");
    check(&house, keyed("k"), &house.form(&[(1, "INTERVAL")]), reused).await;
    check(&house, keyed("k"), &house.form(&[(3, "INTERVAL"), (2, "MANUAL")]), reused).await;
    check(&house, keyed("k"), &house.form(&[(1, "INTERVAL"), (2, "INTERVAL")]), reused).await;
    check(&house, keyed("k"), &form.clone().text("more", ""), reused).await;
    check(&house, keyed(""), &form, Err("bad_idempotency_key")).await;
    check(&house, Upload { uploader: BEN, ..keyed("k") }, &form, Err("session_not_found")).await;
    house.holds(1).await;

    // Also when the session has ended, or the photo was deleted: the answer is of then, and nothing comes back.
    house.records.end_session(house.session, Timestamp::UNIX_EPOCH).await.unwrap();
    house.intake.delete_capture(first.captures[0].id, "asked for").await.unwrap();
    check(&house, keyed("k"), &form, Ok(&first)).await;
    house.holds(0).await;
}

#[tokio::test]
async fn what_was_refused_keeps_no_key() {
    let house = house().await;
    let cut = frame(1);
    let bad = house
        .form(&[])
        .file("capture_0", "n", "", &cut[..cut.len() / 2])
        .text("metadata_0", r#"{"trigger":"INTERVAL"}"#);
    for _ in 0..2 {
        check(&house, keyed("k"), &bad, Err("image_truncated")).await;
    }
    house.send(keyed("k"), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    house.holds(1).await;
}

#[tokio::test]
async fn what_was_skipped_altogether_keeps_its_answer() {
    let house = house().await;
    let form = house.form(&[(1, "MANUAL")]);
    let first = house.send(keyed("k"), &form).await.unwrap();
    assert!(first.captures.is_empty());
    check(&house, keyed("k"), &form, Ok(&first)).await;
    house.holds(0).await;
}

#[tokio::test]
async fn a_key_whose_request_runs_is_in_progress_and_free_afterwards() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL")]);
    let intake = house.intake.clone();
    let stuck = tokio::spawn(async move {
        let never = stream::pending::<Result<_, intake::BodyError>>();
        intake.receive(keyed("k"), Box::pin(body(vec![]).chain(never))).await
    });
    while house.intake.uploads_in_flight().0 == 0 {
        tokio::task::yield_now().await;
    }
    check(&house, keyed("k"), &form, Err("idempotency_key_in_progress")).await;
    stuck.abort();
    stuck.await.unwrap_err();
    house.send(keyed("k"), &form).await.unwrap();
    house.holds(1).await;
}

/// As two servers on one catalog would: the key is taken while the bytes are on their way.
#[tokio::test]
async fn whoever_commits_first_wins_and_the_other_takes_its_bytes_back() {
    for same_request in [true, false] {
        let house = house().await;
        let form = house.form(&[(1, "INTERVAL")]);
        // What the other one would keep, as found by letting it happen once.
        let twin = house.send(keyed("twin"), &form).await.unwrap();
        let record = house.records.idempotency_record(ANNA.user_id, "twin".to_owned()).await.unwrap().unwrap();
        let digest = if same_request { record.digest } else { [0; 32] };
        let taken = IdempotencyRecord { key: "k".to_owned(), digest, ..record };
        let records = house.records.clone();
        let session = house.session;
        let bytes = form.bytes();
        let last = stream::once(async move {
            let gate = records.session_gate(session).await.unwrap().unwrap();
            let now = Timestamp::UNIX_EPOCH;
            let recording = Recording { gate, captures: Vec::new(), idempotency: Some(taken), now };
            records.record_captures(recording).await.unwrap();
            Ok(bytes.into())
        });
        match house.intake.receive(keyed("k"), Box::pin(body(Vec::new()).chain(last))).await {
            Ok(receipt) => {
                assert!(same_request && receipt.replayed);
                assert_eq!(receipt.captures, twin.captures);
            }
            Err(refusal) => assert!(!same_request && matches!(refusal, Refusal::IdempotencyKeyReused), "{refusal}"),
        }
        house.holds(1).await;
    }
}

#[tokio::test]
async fn without_a_key_every_request_stores() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL")]);
    let ids = [house.send(batch(ANNA), &form).await.unwrap(), house.send(batch(ANNA), &form).await.unwrap()]
        .map(|receipt| receipt.captures[0].id);
    assert_ne!(ids[0], ids[1]);
    house.holds(2).await;
}
