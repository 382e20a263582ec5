//! Camera settings.

use records::{NewCameraSettings, RecordingMode};
use uuid::Uuid;

use crate::support::{at, catalog, chosen, conflict, not_found};

#[tokio::test]
async fn settings_are_kept_as_chosen() {
    let catalog = catalog().await;
    let event = NewCameraSettings {
        recording_mode: RecordingMode::EventDriven,
        interval_seconds: None,
        capture_on_button_click: true,
        is_active: false,
        ..chosen("event")
    };
    for chosen in [chosen("interval"), event] {
        let id = Uuid::now_v7();
        let made = catalog.create_camera_settings(id, chosen.clone(), at(1)).await.unwrap();
        assert_eq!((made.id, made.created_at, made.updated_at), (id, at(1), at(1)));
        assert_eq!(made.chosen, chosen);
        assert_eq!(catalog.camera_settings(id).await.unwrap(), Some(made));
    }
    assert_eq!(catalog.camera_settings(Uuid::now_v7()).await.unwrap(), None);
    conflict(catalog.create_camera_settings(Uuid::now_v7(), chosen("event"), at(2)).await);
    let nonsense = NewCameraSettings { interval_seconds: Some(0), ..chosen("zero") };
    catalog.create_camera_settings(Uuid::now_v7(), nonsense, at(2)).await.expect_err("no interval of nothing");
    let nonsense = NewCameraSettings { interval_seconds: None, ..chosen("none") };
    catalog.create_camera_settings(Uuid::now_v7(), nonsense, at(2)).await.expect_err("an interval needs its length");
}

#[tokio::test]
async fn a_change_is_made_to_what_was_seen_and_no_other() {
    let catalog = catalog().await;
    let made = catalog.new_settings("one").await;
    catalog.new_settings("two").await;
    let other = NewCameraSettings { resolution: "640x480".to_owned(), ..chosen("one") };
    let changed = catalog.change_camera_settings(made.id, other.clone(), Some(made.updated_at), at(5)).await.unwrap();
    assert_eq!((changed.chosen.clone(), changed.created_at, changed.updated_at), (other.clone(), at(1), at(5)));
    conflict(catalog.change_camera_settings(made.id, other.clone(), Some(made.updated_at), at(6)).await);
    conflict(catalog.change_camera_settings(made.id, chosen("two"), None, at(6)).await);
    not_found(catalog.change_camera_settings(Uuid::now_v7(), other.clone(), None, at(6)).await);
    // A clock set back makes no two states of one time.
    let again = catalog.change_camera_settings(made.id, other, None, at(0)).await.unwrap();
    assert_eq!(again.updated_at.as_microsecond(), at(5).as_microsecond() + 1);
}

#[tokio::test]
async fn there_is_one_default_at_most() {
    let catalog = catalog().await;
    let default = |name: &str| NewCameraSettings { is_default: true, ..chosen(name) };
    let one = catalog.create_camera_settings(Uuid::now_v7(), default("one"), at(100)).await.unwrap();
    // With a clock set back meanwhile.
    let two = catalog.create_camera_settings(Uuid::now_v7(), default("two"), at(10)).await.unwrap();
    let one = catalog.camera_settings(one.id).await.unwrap().unwrap();
    assert!(!one.chosen.is_default && one.updated_at > at(100));
    catalog.change_camera_settings(one.id, default("one"), None, at(20)).await.unwrap();
    assert!(!catalog.camera_settings(two.id).await.unwrap().unwrap().chosen.is_default);
    // One that cannot be made takes nothing from anybody.
    conflict(catalog.create_camera_settings(Uuid::now_v7(), default("two"), at(30)).await);
    assert!(catalog.camera_settings(one.id).await.unwrap().unwrap().chosen.is_default);
}
