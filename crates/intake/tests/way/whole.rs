//! Uploads that go well, however they arrive; and those that are refused, which leave nothing.

use intake::Refusal;
use serde_json::json;
use testkit::{Form, photo};
use uuid::Uuid;

use crate::support::{ANNA, BEN, batch, body, frame, house};

#[tokio::test]
async fn a_form_arrives_whole_wherever_it_is_cut() {
    let house = house().await;
    let bytes = house.form(&[(1, "INTERVAL"), (2, "interval")]).bytes();
    let mut stored = 0;
    let cuts = (0..=bytes.len()).map(|at| vec![bytes[..at].to_vec(), bytes[at..].to_vec()]);
    for pieces in cuts.chain([bytes.iter().map(|byte| vec![*byte]).collect()]) {
        let receipt = house.intake.receive(batch(ANNA), body(pieces)).await.unwrap();
        stored += 2;
        let sent = [frame(1), frame(2)].map(|frame| testkit::api::sha256(&frame));
        assert_eq!(receipt.captures.iter().map(|capture| &capture.sha256).collect::<Vec<_>>(), [&sent[0], &sent[1]]);
    }
    house.holds(stored).await;
}

#[tokio::test]
async fn what_is_stored_is_what_was_sent_and_said() {
    let house = house().await;
    let metadata = json!({"trigger": "interval", "phq_response_id": 7, "captured_at": "2027-01-15", "x": {"y": "ü"}});
    let form = Form::new()
        .json("metadata_b", &metadata)
        .file("capture_a", "../../x", "text/plain", &photo::png(20, 10, 1))
        .file("capture_b", "b.jpg", "image/jpeg", &photo::jpeg_bytes(100_000, 2))
        .text("capture_c", "no file")
        .text("session_id", &house.session.to_string())
        .json("metadata_a", &json!({"trigger": "INTERVAL", "llm_conversation_id": "c1"}))
        .file("other", "o.bin", "text/plain", b"ignored");
    let receipt = house.send(batch(ANNA), &form).await.unwrap();
    assert!(receipt.skipped.is_empty() && !receipt.replayed);
    let rows = house.rows().await;
    let [a, b] = [0, 1].map(|at| rows.iter().find(|row| row.id == receipt.captures[at].id).unwrap());
    assert_eq!((a.content_type.as_str(), a.width_px, a.height_px), ("image/png", 20, 10));
    assert_eq!((b.content_type.as_str(), b.blob.size_bytes), ("image/jpeg", 100_000));
    assert_eq!((a.filename.clone(), b.filename.clone()), (format!("{}.png", a.id), format!("{}.jpg", b.id)));
    assert_eq!((a.assessment_id.as_deref(), b.assessment_id.as_deref()), (Some("\"c1\""), Some("7")));
    assert_eq!((b.trigger.as_str(), b.captured_at.as_deref()), ("INTERVAL", Some("2027-01-15")));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&b.metadata).unwrap(), metadata);
    assert!(b.settings_snapshot.as_ref().unwrap().contains("interval"));
    assert_eq!(receipt.captures[0].timestamp, "2027-01-15T08:00:00.000000");
    assert_eq!(receipt.captures[1].timestamp, "2027-01-15T08:00:00.000001");
    house.holds(2).await;
}

#[tokio::test]
async fn what_the_settings_do_not_want_is_skipped_and_named() {
    let house = house().await;
    let form = house.form(&[(1, "MANUAL"), (2, "INTERVAL"), (3, "Eye_Blink")]);
    let receipt = house.send(batch(ANNA), &form).await.unwrap();
    assert_eq!(receipt.captures.len(), 1);
    let skipped: Vec<_> = receipt.skipped.iter().map(|skipped| (&*skipped.key, &*skipped.trigger)).collect();
    assert_eq!(skipped, [("capture_0", "MANUAL"), ("capture_2", "Eye_Blink")]);
    let receipt = house.send(batch(ANNA), &house.form(&[(1, "MANUAL")])).await.unwrap();
    assert!(receipt.captures.is_empty());
    house.holds(1).await;
}

#[tokio::test]
async fn a_single_frame() {
    let house = house().await;
    let form = Form::new().file("image", "i.jpg", "image/jpeg", &frame(1)).text("trigger", "interval");
    let receipt = house.send(house.single(), &form.clone().text("timing", r#"{"t":1}"#)).await.unwrap();
    assert_eq!((receipt.captures.len(), receipt.captures[0].trigger.as_str()), (1, "INTERVAL"));
    assert_eq!(house.rows().await[0].metadata, r#"{"timing":{"t":1}}"#);
    for (code, form) in [
        ("no_image", Form::new().text("trigger", "interval")),
        ("trigger_not_allowed", Form::new().file("image", "i.jpg", "image/jpeg", &frame(1))),
        ("malformed_form", form.without_closing()),
    ] {
        let refusal = house.send(house.single(), &form).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    house.holds(1).await;
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let house = house().await;
    let good = || house.form(&[(1, "INTERVAL")]);
    let with = |bytes: &[u8]| {
        let session = Form::new().text("session_id", &house.session.to_string());
        session
            .file("capture_0", "0.jpg", "image/jpeg", &frame(1))
            .text("metadata_0", r#"{"trigger":"INTERVAL"}"#)
            .text("metadata_1", r#"{"trigger":"INTERVAL"}"#)
            .file("capture_1", "1.jpg", "image/jpeg", bytes)
    };
    let large = photo::jpeg_bytes(1_000_001, 1);
    let cut = frame(2);
    let nobodys = Form::new().text("session_id", &Uuid::now_v7().to_string()).file("capture_0", "n", "", &frame(1));
    let many = (0..6).map(|seed| (seed, "INTERVAL")).collect::<Vec<_>>();
    let cases = [
        ("session_id_required", Form::new().file("capture_0", "0.jpg", "image/jpeg", &frame(1))),
        ("session_not_found", nobodys),
        ("session_not_found", Form::new().text("session_id", "../x").file("capture_0", "n", "", &frame(1))),
        ("malformed_form", Form::new()),
        ("malformed_form", good().without_closing()),
        ("photo_too_large", with(&large)),
        ("too_many_captures", house.form(&many)),
        ("image_empty", with(b"")),
        ("image_truncated", with(&cut[..cut.len() - 2])),
        ("image_type_unsupported", with(b"<svg xmlns='http://www.w3.org/2000/svg'/>")),
        ("two_session_ids", good().text("session_id", &Uuid::now_v7().to_string())),
        ("duplicate_capture", good().file("capture_0", "0.jpg", "image/jpeg", &frame(2))),
        (
            "unstorable_text",
            good()
                .text("metadata_0", "{}")
                .text("metadata_x", "")
                .file("capture_9", "n", "", &frame(1))
                .text("metadata_9", "{\"a\":\"\\u0000\"}"),
        ),
        ("metadata_too_large", good().text("other", &"x".repeat(5000))),
        ("too_many_parts", (0..30).fold(good(), |form, number| form.text(&number.to_string(), ""))),
        (
            "transfer_encoding",
            good().raw_part("Content-Disposition: form-data; name=\"x\"\r\nContent-Transfer-Encoding: base64", b""),
        ),
    ];
    for (code, form) in cases {
        let refusal = house.send(batch(ANNA), &form).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    let refusal = house.send(batch(BEN), &good()).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.status()), ("session_not_found", 403));
    house.records.end_session(house.session, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    let refusal = house.send(batch(ANNA), &good()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::SessionEnded), "{refusal}");
    house.holds(0).await;
}
