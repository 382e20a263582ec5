//! The example file, the report and the declaration as a whole.

use std::collections::BTreeSet;

use super::super::check::NOT_ABOVE;
use super::super::declare::KEYS;
use super::super::values::Shape;
use super::super::{Config, SECTIONS, example_toml, report};
use super::{file, load};

/// Prose begins with `# `; a setting with `#` alone.
fn uncommented(example: &str) -> String {
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_loads_to_the_defaults_commented_and_uncommented() {
    let values = |config: &Config| report(config).lines.into_iter().map(|line| line.value).collect::<Vec<_>>();
    let defaults = values(&Config::default());
    assert_eq!(values(&load(file(&example_toml())).unwrap()), defaults);

    let config = load(file(&uncommented(&example_toml()))).unwrap();
    assert_eq!(values(&config), defaults);
    let unset: Vec<_> = report(&config).lines.into_iter().filter(|line| line.source.to_string() == "default").collect();
    assert_eq!(unset, [], "a setting the example leaves out");
}

#[test]
fn the_example_is_in_order_and_fits_a_screen() {
    let example = example_toml();
    let sections: Vec<&str> = example.lines().filter_map(|l| l.strip_prefix('[')?.strip_suffix(']')).collect();
    assert_eq!(sections, SECTIONS.iter().map(|section| section.name).collect::<Vec<_>>());
    for line in example.lines() {
        assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line}");
    }
    let entry = "\n\n# Largest header of a request, in bytes, cookies and address line included; more is a 431.\n\
        # It is also the read buffer of each connection: smaller saves memory.\n\
        # From 8192 to 1_048_576.\n#header_bytes_max = 16_384  # 16 KiB\n\n";
    assert!(example.contains(entry), "{example}");
}

#[test]
fn every_setting_is_declared_with_care() {
    let mut names = BTreeSet::new();
    for key in KEYS {
        assert!(names.insert(key.dotted), "{} twice", key.dotted);
        assert!(!key.docs.is_empty());
        let sections = SECTIONS.iter().filter(|section| section.name == key.section).count();
        assert_eq!(sections, usize::from(!key.section.is_empty()));
        let allowed = (key.allowed)();
        assert!(key.shape != Shape::Number || allowed.is_some(), "{} has no limits", key.dotted);
        let docs = key.docs.concat();
        for (ending, unit) in
            [("_ms", "milliseconds"), ("_days", "days"), ("_hours", "hours"), ("_per_second", "per second")]
        {
            assert!(!key.name.ends_with(ending) || docs.contains(unit), "{}: {unit}?", key.dotted);
        }
        // The default itself passes the key's own limits.
        let texts = (key.show)(&Config::default());
        assert!((key.set)(&mut Config::default(), &texts).is_ok(), "{}", key.dotted);
    }
    for (small, large, _) in NOT_ABOVE {
        for name in [small, large] {
            let key = KEYS.iter().find(|key| key.dotted == *name);
            assert!(key.is_some_and(|key| (key.number)(&Config::default()).is_some()), "{name}");
        }
    }
    assert!(load(super::Input::default()).is_ok());
}

#[test]
fn names_in_every_layer_follow_from_the_declaration() {
    let variable = |dotted: &str| KEYS.iter().find(|key| key.dotted == dotted).unwrap().variable();
    assert_eq!(variable("data_dir"), "FILMGATE__DATA_DIR");
    assert_eq!(variable("server.listen"), "FILMGATE__SERVER__LISTEN");
    for key in KEYS {
        let text = (key.show)(&Config::default()).join(",");
        let dotted: &[(&str, &str)] = &[(key.dotted, &text)];
        let name = key.variable();
        let env: &[(&str, &str)] = &[(&name, &text)];
        assert!(load(super::Input { flags: dotted, ..Default::default() }).is_ok(), "{}", key.dotted);
        assert!(load(super::Input { env, ..Default::default() }).is_ok(), "{name}");
    }
}

#[test]
fn the_report_lists_every_setting_with_its_source() {
    let config = load(file("[log]\nlevel = \"warn\"\n")).unwrap();
    let text = report(&config).to_string();
    assert_eq!(text.lines().count(), KEYS.len());
    assert!(text.starts_with("data_dir = \"filmgate-data\"  "), "{text}");
    let level = text.lines().find(|line| line.starts_with("log.level = \"warn\"  ")).unwrap();
    assert!(level.ends_with("filmgate.toml:2:9"), "{level}");
    assert!(text.contains("ingest.mode = \"direct\"  "));
}
