//! The session changes while its photos are on their way, after the gate and before the transaction.

use std::pin::Pin;

use futures_util::{StreamExt, stream};
use intake::{Receipt, Refusal, Upload};
use jiff::Timestamp;
use records::{NewCameraSettings, RecordingMode};
use testkit::Form;

use crate::support::{ANNA, House, batch, body, frame, house, interval};

/// What happens just before the last byte.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    OtherResolution,
    EventsOnly,
    Deactivated,
    NoSettings,
    Ended,
}

async fn change(house: &House, change: Change) {
    let (records, now) = (&house.records, Timestamp::UNIX_EPOCH);
    let chosen = match change {
        Change::OtherResolution => NewCameraSettings { resolution: "640x480".to_owned(), ..interval() },
        Change::EventsOnly => NewCameraSettings { recording_mode: RecordingMode::EventDriven, ..interval() },
        Change::Deactivated => NewCameraSettings { is_active: false, ..interval() },
        Change::NoSettings => {
            records.set_session_settings(house.session, None).await.unwrap();
            return;
        }
        Change::Ended => {
            records.end_session(house.session, now).await.unwrap();
            return;
        }
        Change::Nothing => return,
    };
    records.change_camera_settings(house.settings, chosen, None, now).await.unwrap();
}

/// Sends a form whose last bytes come after the change.
async fn send(house: &House, upload: Upload, form: &Form, what: Change) -> Result<Receipt, Refusal> {
    let bytes = form.bytes();
    let (early, late) = bytes.split_at(bytes.len() - 3);
    let late = late.to_vec();
    let (go_on, waits) = tokio::sync::oneshot::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let last = stream::once(async move {
        begun.send(()).unwrap();
        waits.await.unwrap();
        Ok(late.into())
    });
    let receiving = house.intake.receive(upload, Pin::from(Box::new(body(vec![early.to_vec()]).chain(last))));
    let changing = async {
        begins.await.unwrap();
        change(house, what).await;
        go_on.send(()).unwrap();
    };
    futures_util::future::join(receiving, changing).await.0
}

/// What a batch and a single upload get, as codes; `stored` where they are.
async fn check(what: Change, batch_gets: &str, single_gets: &str) {
    for (is_single, expect) in [(false, batch_gets), (true, single_gets)] {
        let house = house().await;
        let mut upload = if is_single { house.single() } else { batch(ANNA) };
        upload.idempotency_key = Some("k".to_owned());
        let form = if is_single {
            Form::new().text("trigger", "INTERVAL").file("image", "i.jpg", "image/jpeg", &frame(1))
        } else {
            house.form(&[(1, "INTERVAL"), (2, "interval")])
        };
        let outcome = send(&house, upload, &form, what).await;
        let photos = if is_single { 1 } else { 2 };
        let (got, stored) = match &outcome {
            Ok(receipt) if receipt.captures.len() == photos => ("stored", photos),
            Ok(receipt) if receipt.captures.is_empty() && receipt.skipped.len() == photos => ("skipped", 0),
            Ok(receipt) => panic!("{what:?}: {receipt:?}"),
            Err(refusal) => (refusal.code(), 0),
        };
        assert_eq!(got, expect, "{what:?}, single: {is_single}");
        house.holds(stored).await;
        let key = house.records.idempotency_record(ANNA.user_id, "k".to_owned()).await.unwrap();
        assert_eq!(key.is_some(), outcome.is_ok(), "{what:?}, single: {is_single}");
        for row in house.rows().await {
            let snapshot = row.settings_snapshot.unwrap_or_default();
            let expect = match what {
                Change::Nothing => "1280x720",
                Change::OtherResolution => "640x480",
                Change::Deactivated => "\"is_active\":false",
                _ => "",
            };
            assert!(snapshot.contains(expect), "{what:?}: the snapshot is of the final gate: {snapshot}");
        }
    }
}

#[tokio::test]
async fn the_final_gate_decides() {
    check(Change::Nothing, "stored", "stored").await;
    check(Change::OtherResolution, "stored", "stored").await;
    check(Change::EventsOnly, "skipped", "trigger_not_allowed").await;
    check(Change::Deactivated, "stored", "no_camera_settings").await;
    check(Change::NoSettings, "stored", "no_camera_settings").await;
    check(Change::Ended, "session_ended", "session_ended").await;
}
