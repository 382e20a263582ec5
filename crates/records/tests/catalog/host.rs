//! What the app says of its sessions, laid into the catalog.

use records::{AssessmentType, HostLink, HostSession, HostSettings, NewCameraSettings, RecordingError, SettingsChoice};
use uuid::Uuid;

use crate::support::{at, capture, catalog, catalog_heard_by, chosen, conflict};

fn session(key: &str, user_id: i64, settings: Option<HostSettings>) -> HostSession {
    HostSession { id: Uuid::now_v7(), key: key.to_owned(), user_id, settings }
}

fn settings(key: &str, name: &str) -> HostSettings {
    HostSettings { id: Uuid::now_v7(), key: key.to_owned(), chosen: chosen(name) }
}

#[tokio::test]
async fn a_session_is_written_when_the_app_says_otherwise_and_not_else() {
    let catalog = catalog().await;
    let said = session("42", 1, Some(settings("7", "study")));
    let first = catalog.lay_in_session(said.clone(), at(1)).await.unwrap();
    assert!(said.is_as_in(&first));
    assert_eq!((first.session.key().as_str(), first.session.user_id), ("42", 1));
    assert_eq!(first.settings.as_ref().unwrap().host_key.as_deref(), Some("7"));
    assert_eq!(catalog.lay_in_session(said.clone(), at(5)).await.unwrap(), first, "not even a time is new");
    // Each way in which the app can change its mind.
    let other = |change: fn(&mut HostSession)| {
        let mut other = said.clone();
        change(&mut other);
        other
    };
    for changed in [
        other(|said| said.user_id = 2),
        other(|said| said.settings = None),
        other(|said| said.settings.as_mut().unwrap().chosen.interval_seconds = Some(9)),
        other(|said| said.settings.as_mut().unwrap().chosen.is_active = false),
        other(|said| said.settings.as_mut().unwrap().id = Uuid::from_u128(9)),
    ] {
        let before = catalog.session_gate(said.id).await.unwrap().unwrap();
        assert!(!changed.is_as_in(&before), "{changed:?}");
        let after = catalog.lay_in_session(changed.clone(), at(1)).await.unwrap();
        assert!(changed.is_as_in(&after) && after != before, "{changed:?}");
    }
    // That it ended here is no business of the app's.
    catalog.end_session(said.id, at(8)).await.unwrap();
    let gate = catalog.lay_in_session(said.clone(), at(9)).await.unwrap();
    assert_eq!(gate.session.ended_at, Some(at(8)));
    assert_eq!(gate.session.created_at, at(1));
}

#[tokio::test]
async fn names_and_defaults_of_the_apps_may_be_anybodys() {
    let catalog = catalog().await;
    let own = NewCameraSettings { is_default: true, ..chosen("study") };
    let own = catalog.create_camera_settings(Uuid::now_v7(), own, at(1)).await.unwrap();
    let mut said = [settings("1", "study"), settings("2", "study"), settings("3", "other")];
    for settings in &mut said {
        settings.chosen.is_default = true;
        let session = session("42", 1, Some(settings.clone()));
        for _ in 0..2 {
            let gate = catalog.lay_in_session(session.clone(), at(2)).await.unwrap();
            assert!(session.is_as_in(&gate));
        }
    }
    let all = catalog.list_camera_settings(None, 10).await.unwrap().items;
    let mut names: Vec<&str> = all.iter().map(|settings| settings.chosen.setting_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["other", "study", "study (1)", "study (2)"]);
    // A session of our own gets our own default.
    let registered = catalog.new_session(3).await;
    assert_eq!(registered.camera_settings_id, Some(own.id));
    // What is the app's is not changed here.
    conflict(catalog.change_camera_settings(said[2].id, chosen("mine"), None, at(3)).await);
    let laid = session("43", 1, None);
    catalog.lay_in_session(laid.clone(), at(3)).await.unwrap();
    conflict(catalog.set_session_settings(laid.id, Some(own.id)).await);
    conflict(catalog.register_session(laid.id, 2, SettingsChoice::Default, at(4)).await);
}

#[tokio::test]
async fn what_was_gated_before_the_app_changed_its_mind_is_gated_again() {
    let catalog = catalog().await;
    let said = session("42", 1, None);
    catalog.lay_in_session(said.clone(), at(1)).await.unwrap();
    let recording = catalog.recording(said.id, vec![capture(2)]).await;
    catalog.lay_in_session(HostSession { user_id: 2, ..said }, at(3)).await.unwrap();
    assert!(matches!(catalog.record_captures(recording).await, Err(RecordingError::GateChanged)));
}

#[tokio::test]
async fn links_of_the_apps_are_laid_in_once_and_told_of() {
    let catalog = catalog_heard_by(&["hook"]).await;
    let said = session("42", 1, None);
    catalog.lay_in_session(said.clone(), at(1)).await.unwrap();
    catalog.record(said.id, vec![capture(2), capture(3), capture(4)]).await.unwrap();
    let captures = catalog.captures_of_session(said.id).await.unwrap();
    let link = |filename: &str, id: &str| HostLink {
        filename: filename.to_owned(),
        assessment_type: AssessmentType::Llm,
        assessment_id: id.to_owned(),
    };
    catalog.link_captures(said.id, vec![captures[0].id], AssessmentType::Phq, "1".to_owned(), at(5)).await.unwrap();
    let links = vec![link(&captures[0].filename, "7"), link(&captures[1].filename, "\"a\""), link("no.jpg", "7")];
    assert_eq!(catalog.lay_in_links(said.id, links.clone(), at(6)).await.unwrap(), 1, "the first link stays");
    assert_eq!(catalog.lay_in_links(said.id, links.clone(), at(7)).await.unwrap(), 0);
    assert_eq!(catalog.lay_in_links(Uuid::now_v7(), links, at(7)).await.unwrap(), 0, "of another session");
    let left = catalog.delete_unlinked_captures(said.id, "cleanup".to_owned(), at(8)).await.unwrap();
    assert_eq!(left.iter().map(|capture| capture.id).collect::<Vec<_>>(), [captures[2].id]);
    let captures = catalog.captures_of_session(said.id).await.unwrap();
    let ids: Vec<_> = captures.iter().map(|capture| capture.assessment_id.as_deref()).collect();
    assert_eq!(ids, [Some("1"), Some("\"a\"")]);
    // Told of as everything else is: with the assessment, to whoever hears of it.
    let told = catalog.tasks(records::TaskFilter::default(), None, 100).await.unwrap().items;
    let mut told: Vec<_> = told
        .iter()
        .filter_map(|task| serde_json::from_str::<serde_json::Value>(task.payload.as_deref()?).ok())
        .filter(|event| event["type"] == "capture.linked")
        .map(|event| event["data"]["assessment_id"].to_string())
        .collect();
    told.sort();
    assert_eq!(told, ["\"a\"", "1"]);
}
