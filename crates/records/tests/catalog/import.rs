//! Captures of another program, taken over; and captures counted beside another program's.

use records::{NewCapture, OldCapture, TakenOver};
use uuid::Uuid;

use crate::support::{at, capture, catalog};

fn old(session_id: Uuid, capture: &NewCapture) -> OldCapture {
    OldCapture {
        session_id,
        capture: capture.clone(),
        filename_otherwise: format!("{}.jpg", capture.id),
        settings_snapshot: Some(r#"{"setting_name":"of the app"}"#.to_owned()),
    }
}

#[tokio::test]
async fn what_is_taken_over_is_recorded_once_however_often_it_is_tried() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    let (one, two, gone) = (capture(1), capture(2), capture(3));
    let all = || [&one, &two, &gone].map(|capture| old(session, capture)).to_vec();
    let recorded = [TakenOver::Recorded { renamed: false }; 3];
    assert_eq!(catalog.take_over(all()).await.unwrap(), recorded);
    // The very same again is a request whose commit was in doubt: its bytes are those of the row.
    assert_eq!(catalog.take_over(all()).await.unwrap(), recorded);
    assert_eq!(catalog.capture_counts(vec![session]).await.unwrap(), [3]);
    let row = catalog.capture(one.id).await.unwrap().unwrap();
    assert_eq!((row.received_at, row.filename), (one.received_at, one.filename.clone()));
    assert_eq!(row.settings_snapshot.as_deref(), Some(r#"{"setting_name":"of the app"}"#));
    // Another run published the bytes anew: those are not the row's.
    let mut again = old(session, &one);
    again.capture.blob.key = "elsewhere/1".to_owned();
    again.capture.task_id = Uuid::now_v7();
    assert_eq!(catalog.take_over(vec![again]).await.unwrap(), [TakenOver::There]);
    catalog.delete_capture(gone.id, "asked for".to_owned(), at(9)).await.unwrap();
    let mut back = old(session, &gone);
    back.capture.task_id = Uuid::now_v7();
    assert_eq!(catalog.take_over(vec![back]).await.unwrap(), [TakenOver::Deleted]);
    let nowhere = old(Uuid::now_v7(), &capture(4));
    assert_eq!(catalog.take_over(vec![nowhere]).await.unwrap(), [TakenOver::NoSession]);

    let known =
        catalog.known_captures(vec![one.id, gone.id, Uuid::now_v7()], vec![two.filename.clone()]).await.unwrap();
    assert_eq!((known.there, known.deleted), ([one.id].into(), [gone.id].into()));
    assert_eq!(known.filenames, [(two.filename, two.id)].into());
}

#[tokio::test]
async fn a_filename_in_use_gives_way_and_an_ended_session_takes_old_ones() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    let first = capture(1);
    catalog.record(session, vec![first.clone()]).await.unwrap();
    let mut second = capture(2);
    second.filename.clone_from(&first.filename);
    let taken = catalog.take_over(vec![old(session, &second)]).await.unwrap();
    assert_eq!(taken, [TakenOver::Recorded { renamed: true }]);
    let row = catalog.capture(second.id).await.unwrap().unwrap();
    assert_eq!(row.filename, format!("{}.jpg", second.id));
    catalog.end_session(session, at(3)).await.unwrap();
    let taken = catalog.take_over(vec![old(session, &capture(4))]).await.unwrap();
    assert_eq!(taken, [TakenOver::Recorded { renamed: false }]);
}

#[tokio::test]
async fn captures_of_a_period_are_seen_in_pages_each_once() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    // Three of each second.
    let captures: Vec<NewCapture> = (0..30).map(|number| capture(number / 3)).collect();
    catalog.record(session, captures.clone()).await.unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = catalog.captures_between(at(2), at(6), after, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.received_at, last.id));
        seen.extend(page);
        assert!(seen.len() <= 12, "{seen:?}");
    }
    let mut expected: Vec<Uuid> = captures[6..18].iter().map(|capture| capture.id).collect();
    expected.sort_unstable();
    let mut ids: Vec<Uuid> = seen.iter().map(|seen| seen.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, expected);
    assert!(seen.iter().all(|seen| seen.session_id == session && seen.received_bytes.is_some()));
}
