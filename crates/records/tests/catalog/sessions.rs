//! Assessment sessions.

use records::{NewCameraSettings, Registered, SettingsChoice};
use uuid::Uuid;

use crate::support::{at, catalog, chosen, conflict, not_found};

#[tokio::test]
async fn registering_again_changes_nothing_and_never_hands_over() {
    let catalog = catalog().await;
    let settings = catalog.new_settings("one").await;
    let id = Uuid::now_v7();
    let register = |user_id, choice| catalog.register_session(id, user_id, choice, at(3));
    conflict(register(1, SettingsChoice::Chosen(Some(Uuid::now_v7()))).await);
    let made = register(1, SettingsChoice::Chosen(Some(settings.id))).await.unwrap();
    let Registered::Created(session) = made else { panic!("{made:?}") };
    assert_eq!((session.user_id, session.camera_settings_id, session.ended_at), (1, Some(settings.id), None));
    for same in [SettingsChoice::Default, SettingsChoice::Chosen(Some(settings.id))] {
        let again = register(1, same).await.unwrap();
        assert!(matches!(&again, Registered::Unchanged(found) if *found == session), "{again:?}");
    }
    conflict(register(2, SettingsChoice::Default).await);
    conflict(register(1, SettingsChoice::Chosen(None)).await);
    assert_eq!(catalog.session(id).await.unwrap(), Some(session));
    assert_eq!(catalog.session(Uuid::now_v7()).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_without_a_choice_gets_the_default_if_it_is_active() {
    let catalog = catalog().await;
    assert_eq!(catalog.new_session(1).await.camera_settings_id, None);
    let default = NewCameraSettings { is_default: true, ..chosen("default") };
    let settings = catalog.create_camera_settings(Uuid::now_v7(), default.clone(), at(1)).await.unwrap();
    assert_eq!(catalog.new_session(1).await.camera_settings_id, Some(settings.id));
    let off = NewCameraSettings { is_active: false, ..default };
    catalog.change_camera_settings(settings.id, off, None, at(2)).await.unwrap();
    assert_eq!(catalog.new_session(1).await.camera_settings_id, None);
}

#[tokio::test]
async fn the_gate_is_the_session_with_its_settings() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await;
    let gate = catalog.session_gate(session.id).await.unwrap().unwrap();
    assert_eq!((gate.session, gate.settings), (session.clone(), None));
    let settings = catalog.new_settings("one").await;
    let given = catalog.set_session_settings(session.id, Some(settings.id)).await.unwrap();
    let gate = catalog.session_gate(session.id).await.unwrap().unwrap();
    assert_eq!((gate.session, gate.settings), (given, Some(settings)));
    conflict(catalog.set_session_settings(session.id, Some(Uuid::now_v7())).await);
    not_found(catalog.set_session_settings(Uuid::now_v7(), None).await);
    assert_eq!(catalog.set_session_settings(session.id, None).await.unwrap().camera_settings_id, None);
    assert_eq!(catalog.session_gate(Uuid::now_v7()).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_ends_once() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await;
    for seconds in [5, 6] {
        assert_eq!(catalog.end_session(session.id, at(seconds)).await.unwrap().ended_at, Some(at(5)));
    }
    not_found(catalog.end_session(Uuid::now_v7(), at(1)).await);
}
