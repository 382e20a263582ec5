//! Clients who leave: before the form is read nothing stays, afterwards everything is settled.

use futures_util::{StreamExt, stream};
use intake::BodyError;

use crate::support::{ANNA, batch, body, house, keyed, polled};

#[tokio::test]
async fn leaving_after_any_piece_leaves_nothing() {
    let house = house().await;
    // Beyond what is held in memory, so that there is a staging file to leave behind.
    let form = house.form(&[(1, "INTERVAL")]).file("capture_x", "n", "", &testkit::photo::jpeg_bytes(100_000, 1));
    let bytes = form.bytes();
    let pieces: Vec<Vec<u8>> = bytes.chunks(bytes.len() / 40).map(<[u8]>::to_vec).collect();
    for sent in 0..pieces.len() {
        let (reached, reaches) = tokio::sync::oneshot::channel();
        let hangs = stream::once(async move {
            reached.send(()).unwrap();
            std::future::pending::<Result<_, BodyError>>().await
        });
        let body = Box::pin(body(pieces[..sent].to_vec()).chain(hangs));
        tokio::select! {
            outcome = house.intake.receive(keyed("k"), body) => panic!("{outcome:?}"),
            _ = reaches => {}
        }
        house.holds(0).await;
    }
    // The key was held by each of them, and by none any more.
    house.send(keyed("k"), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    house.holds(1).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let house = house().await;
    let bytes = house.form(&[(1, "INTERVAL")]).bytes();
    for at in 0..bytes.len() {
        let breaks = match at % 3 {
            0 => Some(Err(BodyError::TooSlow("too slow".to_owned()))),
            1 => Some(Err(BodyError::Incomplete("broke off".to_owned()))),
            _ => None,
        };
        let expect = ["body_timeout", "body_incomplete", "malformed_form"][at % 3];
        let body = Box::pin(body(vec![bytes[..at].to_vec()]).chain(stream::iter(breaks)));
        // What ends within the last line break after the closing boundary is whole.
        match house.intake.receive(batch(ANNA), body).await {
            Ok(_) => assert!(at + 2 >= bytes.len(), "cut at {at} of {}", bytes.len()),
            Err(refusal) => assert_eq!(refusal.code(), expect, "cut at {at} of {}: {refusal}", bytes.len()),
        }
    }
    let stored = house.rows().await.len();
    assert!(stored <= 2);
    house.holds(stored).await;
}

/// Let go between any two polls, also while the disk or the catalog works: stored whole or not at all.
#[tokio::test]
async fn leaving_at_any_moment_leaves_all_or_nothing() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL"), (2, "INTERVAL")]);
    let mut stored = 0;
    for polls in 0.. {
        let ended = polled(polls, house.send(keyed(&format!("k{polls}")), &form)).await;
        // A settling that was begun goes on by itself.
        let (mut before, mut settled) = (usize::MAX, house.rows().await.len());
        while house.intake.uploads_in_flight().0 > 0 || before != settled {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            (before, settled) = (settled, house.rows().await.len());
        }
        assert!(settled == stored || settled == stored + 2, "{polls} polls: {stored} rows, then {settled}");
        stored = settled;
        house.holds(stored).await;
        if ended {
            assert!(polls > 1, "none was let go in the middle");
            break;
        }
    }
    assert!(stored >= 2);
}

#[tokio::test]
async fn a_deletion_goes_on_when_its_client_has_left() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL"), (2, "INTERVAL")]);
    for deletes_one in [true, false] {
        let receipt = house.send(batch(ANNA), &form).await.unwrap();
        house.holds(2).await;
        if deletes_one {
            polled(1, house.intake.delete_capture(receipt.captures[0].id, "asked for")).await;
            house.holds(1).await;
            house.intake.delete_capture(receipt.captures[1].id, "asked for").await.unwrap();
        } else {
            polled(1, house.intake.delete_unlinked(house.session, "cleanup")).await;
        }
        house.holds(0).await;
    }
}
