//! A disk that is too busy, and one without room.

use std::sync::Barrier;
use std::thread;

use testkit::photo;

use super::limited;
use crate::support::{
    GRACE, assert_nothing_left, assert_refused, clear, code_of, files_of_store, holds_within, rows_of_catalog,
    upload_of,
};

/// One worker and one place to wait, and more uploads at once than that: some are refused, and only by that.
#[test]
fn a_busy_disk_refuses_and_loses_nothing() {
    const CLIENTS: u64 = 24;
    let server = limited(&[("INGEST__DISK_WORKERS", "1"), ("INGEST__DISK_QUEUE_MAX", "1")]);
    let (mut stored, mut refused) = (0, 0);
    for round in 0..20 {
        let ready = Barrier::new(usize::try_from(CLIENTS).unwrap());
        let answers: Vec<_> = thread::scope(|scope| {
            let client = |seed: u64| {
                let (server, ready) = (&server, &ready);
                scope.spawn(move || {
                    let request = upload_of(server, &photo::jpeg_bytes(300_000, seed));
                    ready.wait();
                    request.send(server.address()).unwrap()
                })
            };
            let clients: Vec<_> = (0..CLIENTS).map(|index| client(round * CLIENTS + index)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert!(server.participant().is_up("/livez"));
        for answer in answers {
            if answer.status == 200 {
                stored += 1;
                continue;
            }
            assert_eq!((answer.status, code_of(&answer).as_str()), (503, "overloaded"), "{answer:?}");
            assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
            refused += 1;
        }
        if stored > 0 && refused > 0 {
            break;
        }
    }
    assert!(stored > 0 && refused > 0, "{stored} stored, {refused} refused: the queue was never full");
    // Exactly those that were answered with a 200 are there, once the refused have tidied up.
    assert!(holds_within(GRACE, || files_of_store(&server).len() == stored), "{:?}", files_of_store(&server));
    assert_eq!(server.participant().list().unwrap().len(), stored);
    assert!(holds_within(GRACE, || server.participant().is_up("/readyz")));
    assert_eq!(upload_of(&server, &photo::jpeg_bytes(2_000, 0)).send(server.address()).unwrap().status, 200);
    clear(&server);
    println!("limits: a busy disk, {stored} stored and {refused} refused");
}

#[test]
fn a_disk_without_room_refuses_photos_and_serves_on() {
    let mut server = limited(&[]);
    let photo = photo::jpeg_bytes(100_000, 1);
    let before = testkit::api::captures(&upload_of(&server, &photo).send(server.address()).unwrap()).unwrap().remove(0);
    server.kill();
    let full = server.builder().env("FILMGATE__INGEST__FREE_BYTES_MIN", "1000000000000000").start().unwrap();
    for bytes in [2_000, 100_000, 1_000_000] {
        let answer = upload_of(&full, &photo::jpeg_bytes(bytes, 2)).send(full.address()).unwrap();
        assert_eq!((answer.status, code_of(&answer).as_str()), (507, "disk_full"), "{answer:?}");
        assert!(holds_within(GRACE, || files_of_store(&full).len() == 1 && rows_of_catalog(&full).len() == 1));
    }
    let mut api = full.participant();
    let readiness = api.get("/readyz").unwrap();
    assert_eq!(readiness.status, 503, "{readiness:?}");
    assert!(readiness.text().contains("ingest.free_bytes_min"), "{readiness:?}");
    assert!(api.is_up("/livez"));
    assert!(api.file(&before.filename).unwrap().body == photo, "what was stored before is not served");
    clear(&full);
    let answer = upload_of(&full, &photo).send(full.address()).unwrap();
    assert_refused(&full, "still without room", &answer, 507, "disk_full");
    drop(full);

    let healed = server.start_again().unwrap();
    assert!(healed.participant().is_up("/readyz"));
    assert_eq!(upload_of(&healed, &photo).send(healed.address()).unwrap().status, 200);
    clear(&healed);
    assert_nothing_left(&healed);
    println!("limits: no room, 4 photos refused");
}
