//! Listings: to the end, whatever shares a time, and cursors that nobody can make up.

use records::{CaptureFilter, Cursor, NewToken, Page, SettingsChoice, TokenScope};
use uuid::Uuid;

use crate::support::{at, capture, catalog, chosen};

/// Captures of one session.
fn of(session: Uuid) -> CaptureFilter {
    CaptureFilter { session_id: Some(session), ..CaptureFilter::default() }
}

/// Turns the pages of a listing to its end; the ids, newest first, must be these.
async fn check(
    what: &str,
    mut expect: Vec<(i64, Uuid)>,
    page: impl AsyncFn(Option<Cursor>, usize) -> (Vec<Uuid>, Option<Cursor>),
) {
    expect.sort_unstable();
    expect.reverse();
    let expect: Vec<Uuid> = expect.into_iter().map(|(_, id)| id).collect();
    for limit in [1, 2, 3, expect.len(), expect.len() + 1] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let (ids, next) = page(after, limit).await;
            pages += 1;
            let length = ids.len();
            found.extend(ids);
            let Some(next) = next else { break };
            assert_eq!(length, limit, "{what}: only the last page may be short");
            let text = next.to_string();
            assert_eq!(text.parse(), Ok(next), "{what}: {text}");
            after = Some(next);
        }
        assert_eq!(found, expect, "{what}, {limit} on a page");
        assert_eq!(pages, expect.len().div_ceil(limit), "{what}: no empty page at the end");
    }
}

fn ids<T>(page: records::Result<Page<T>>, id: impl Fn(&T) -> Uuid) -> (Vec<Uuid>, Option<Cursor>) {
    let page = page.unwrap();
    (page.items.iter().map(id).collect(), page.next_cursor)
}

/// Five rows, three of one time, one before 1970.
const TIMES: [i64; 5] = [10, 20, 20, 20, -1_900_000_000];

#[tokio::test]
async fn every_listing_goes_to_its_end() {
    let catalog = catalog().await;
    let mut rows = Vec::new();
    for (number, seconds) in TIMES.into_iter().enumerate() {
        let id = Uuid::now_v7();
        rows.push((seconds, id));
        catalog.create_camera_settings(id, chosen(&format!("settings {number}")), at(seconds)).await.unwrap();
        catalog.register_session(id, 7, SettingsChoice::Default, at(seconds)).await.unwrap();
        let secret_hash = [u8::try_from(number).unwrap(); 32];
        let scope = TokenScope::Service;
        let token = NewToken { id, name: String::new(), scope, user_id: None, secret_hash, expires_at: None };
        catalog.create_token(token, at(seconds)).await.unwrap();
    }
    let all = rows.clone();
    check("settings", all.clone(), async |a, l| ids(catalog.list_camera_settings(a, l).await, |row| row.id)).await;
    check("tokens", all.clone(), async |a, l| ids(catalog.tokens(a, l).await, |row| row.id)).await;
    check("sessions", all.clone(), async |a, l| ids(catalog.sessions(None, a, l).await, |row| row.id)).await;
    check("a user's", all, async |a, l| ids(catalog.sessions(Some(7), a, l).await, |row| row.id)).await;
    assert!(catalog.sessions(Some(8), None, 10).await.unwrap().items.is_empty());

    let session = rows[0].1;
    let captures: Vec<_> = TIMES.into_iter().map(capture).collect();
    let rows: Vec<_> = TIMES.into_iter().zip(captures.iter().map(|capture| capture.id)).collect();
    catalog.record(session, captures).await.unwrap();
    check("captures", rows.clone(), async |a, l| {
        ids(catalog.captures(CaptureFilter::default(), a, l).await, |row| row.id)
    })
    .await;
    let of_session = async |a, l| ids(catalog.captures(of(session), a, l).await, |row| row.id);
    check("a session's", rows.clone(), of_session).await;
    let other = Uuid::now_v7();
    assert!(catalog.captures(of(other), None, 10).await.unwrap().items.is_empty());

    let oldest_first: Vec<Uuid> =
        catalog.captures_of_session(session).await.unwrap().into_iter().map(|capture| capture.id).collect();
    let mut expect = rows.clone();
    expect.sort_unstable();
    assert_eq!(oldest_first, expect.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    assert_eq!(catalog.capture_counts(vec![session, other]).await.unwrap(), [5, 0]);
    assert_eq!(catalog.count_captures().await.unwrap(), 5);

    let (mut by_id, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let step = catalog.captures_by_id(after, 2).await.unwrap();
        let Some(last) = step.last() else { break };
        after = last.id;
        by_id.extend(step.into_iter().map(|capture| capture.id));
    }
    let mut expect: Vec<Uuid> = rows.into_iter().map(|(_, id)| id).collect();
    expect.sort_unstable();
    assert_eq!(by_id, expect);
}

#[test]
fn junk_is_no_cursor() {
    let id = "0190a0b0c0d0e0f00102030405060708";
    assert!(format!("5.{id}").parse::<Cursor>().is_ok());
    assert!(format!("ffffffffffffffff.{id}").parse::<Cursor>().is_ok());
    let upper = id.to_uppercase();
    for junk in [
        "",
        ".",
        "5",
        "5.",
        "x.y",
        &format!(".{id}"),
        &format!("+5.{id}"),
        &format!("-5.{id}"),
        &format!("05.{id}"),
        &format!("5.{{{id}}}"),
        &format!("5.{upper}"),
        &format!("10000000000000000.{id}"),
        &format!("5.{id}0"),
        &format!(" 5.{id}"),
        "5.0190a0b0-c0d0-e0f0-0102-030405060708",
        "5.ü",
    ] {
        assert!(junk.parse::<Cursor>().is_err(), "{junk:?}");
    }
}
