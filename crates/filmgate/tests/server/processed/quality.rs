//! Signs of quality: what a researcher filters by.

use serde_json::Value;
use testkit::photo;

use super::processed;
use crate::support::{as_admin, participant, with_comment};
use crate::tasks::hasty;

#[test]
fn near_duplicates_dark_and_blurred_frames_are_found() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    // Lengthways and crossways: two pictures that no hash takes for the same.
    let (one, other) = (photo::jpeg(320, 240, 1), photo::jpeg(40, 240, 3));
    // The same picture again, as another file.
    let photos = [one.clone(), with_comment(&one, b"again"), other, with_comment(&one, b"later")];
    let names: Vec<String> = processed(&server, &mut api, &photos).into_iter().map(|(name, _)| name).collect();
    let listed = |query: &str| -> Vec<String> {
        let target = format!("/api/v1/captures?session_id={}&{query}", api.session_id);
        let items = as_admin(&server, "GET", &target, None).json()["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["filename"].as_str().unwrap().to_owned()).collect()
    };
    let detail = |name: &str| -> Value {
        let id = name.trim_end_matches(".jpg");
        as_admin(&server, "GET", &format!("/api/v1/captures/{id}"), None).json()["processing"].clone()
    };
    let hash = |name: &str| u64::from_str_radix(detail(name)["perceptual_hash"].as_str().unwrap(), 16).unwrap();
    let bits = |a: &str, b: &str| (hash(a) ^ hash(b)).count_ones();
    let expected: Vec<&String> =
        names.windows(2).filter(|pair| bits(&pair[0], &pair[1]) <= 6).map(|pair| &pair[1]).collect();
    assert_eq!(expected[0], &names[1], "the same picture has the same hash");
    let mut found = listed("near_duplicate=true");
    found.reverse();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected, "of the frame before it, not of any");
    assert_eq!(listed("near_duplicate=false").len(), 4 - expected.len());
    assert_eq!(listed("processed=true").len(), 4);
    let first = detail(&names[0]);
    assert_eq!(detail(&names[1])["near_duplicate_of"], names[0].trim_end_matches(".jpg"));
    assert_eq!((&first["width_px"], &first["height_px"]), (&320.into(), &240.into()));
    assert_eq!(first["derivatives"].as_array().unwrap().len(), 4);
    assert!(!first["placeholder"].as_str().unwrap().is_empty() && first["taken_at"].is_null());
    for sign in ["sharpness", "brightness"] {
        let value = first[sign].as_f64().unwrap();
        assert!(value.is_finite() && value > 0.0, "{sign}: {value}");
        let (above, below) = (value * 1.000_001, value * 0.999_999);
        assert!(!listed(&format!("{sign}_min={above}")).contains(&names[0]), "{sign}");
        assert!(!listed(&format!("{sign}_max={below}")).contains(&names[0]), "{sign}");
        assert!(listed(&format!("{sign}_min={below}&{sign}_max={above}")).contains(&names[0]), "{sign}");
    }
    for query in ["sharpness_min=NaN", "brightness_max=x", "near_duplicate=2", "processed="] {
        assert_eq!(as_admin(&server, "GET", &format!("/api/v1/captures?{query}"), None).status, 400, "{query}");
    }
}
