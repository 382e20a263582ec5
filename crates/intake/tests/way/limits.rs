//! How much may be under way, and that every place is given back.

use futures_util::{StreamExt, stream};
use intake::{BodyError, Limits, Refusal, Upload, Uploader};

use crate::support::{ANNA, BEN, House, batch, body, house_with, limits};

/// An upload that has sent these bytes and hangs, until it is dropped.
async fn hangs(house: &House, uploader: Uploader, content_length: Option<u64>) -> tokio::task::JoinHandle<()> {
    let intake = house.intake.clone();
    let under_way = intake.uploads_in_flight().0;
    let never = stream::pending::<Result<_, BodyError>>();
    let task = tokio::spawn(async move {
        let upload = Upload { content_length, ..batch(uploader) };
        drop(intake.receive(upload, Box::pin(body(Vec::new()).chain(never))).await);
    });
    while house.intake.uploads_in_flight().0 == under_way {
        tokio::task::yield_now().await;
    }
    task
}

/// What a further upload of this length gets beside two that hang, one of Anna's and one of Ben's.
async fn check(limits: Limits, uploader: Uploader, content_length: Option<u64>, expect: Option<&str>) {
    let house = house_with(limits).await;
    let hanging = [hangs(&house, ANNA, Some(10_000)).await, hangs(&house, BEN, Some(10_000)).await];
    let form = house.form(&[(1, "INTERVAL")]);
    let outcome = house.send(Upload { content_length, ..batch(uploader) }, &form).await;
    assert_eq!(outcome.as_ref().err().map(Refusal::code), expect, "{content_length:?}: {outcome:?}");
    assert_eq!(house.intake.uploads_in_flight().0, 2);
    for task in hanging {
        task.abort();
        task.await.unwrap_err();
    }
    house.holds(usize::from(expect.is_none())).await;
    house.send(batch(ANNA), &form).await.unwrap();
}

#[tokio::test]
async fn places_and_bytes_are_counted_in_all_and_for_each_user() {
    let with = |change: fn(&mut Limits)| {
        let mut limits = limits();
        change(&mut limits);
        limits
    };
    check(limits(), ANNA, Some(10_000), None).await;
    check(limits(), ANNA, None, None).await;
    check(limits(), ANNA, Some(4_000_001), Some("request_too_large")).await;
    check(limits(), ANNA, Some(u64::MAX), Some("request_too_large")).await;
    check(with(|limits| limits.uploads_in_flight_per_user_max = 1), ANNA, None, Some("too_many_uploads")).await;
    check(with(|limits| limits.uploads_in_flight_max = 2), ANNA, None, Some("overloaded")).await;
    check(with(|limits| limits.bytes_in_flight_per_user_max = 20_000), ANNA, Some(10_000), None).await;
    check(with(|limits| limits.bytes_in_flight_per_user_max = 19_999), ANNA, Some(10_000), Some("too_many_uploads"))
        .await;
    check(with(|limits| limits.bytes_in_flight_max = 29_999), ANNA, Some(10_000), Some("overloaded")).await;
    // Of unknown length, or longer than it said: counted as it comes.
    check(with(|limits| limits.bytes_in_flight_per_user_max = 10_100), ANNA, None, Some("too_many_uploads")).await;
    check(with(|limits| limits.bytes_in_flight_max = 20_100), ANNA, Some(50), Some("overloaded")).await;
}

#[tokio::test]
async fn a_request_larger_than_it_may_be_is_stopped_on_its_way() {
    let house = house_with(Limits { request_bytes_max: 1_000, ..limits() }).await;
    let form = house.form(&[(1, "INTERVAL"), (2, "INTERVAL"), (3, "INTERVAL")]);
    assert!(form.bytes().len() > 1_000);
    let refusal = house.send(batch(ANNA), &form).await.unwrap_err();
    assert!(matches!(refusal, Refusal::RequestTooLarge(1_000)), "{refusal}");
    house.holds(0).await;
}
