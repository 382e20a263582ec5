//! A rig's command line: a table of options, and the help printed from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// One option, `--name VALUE` or, where `value` is `None`, `--name`.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub name: &'static str,
    pub value: Option<&'static str>,
    pub default: Option<&'static str>,
    pub help: &'static str,
}

impl Opt {
    pub const fn value(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { name, value: Some(value), default: Some(default), help }
    }

    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self { name, value: None, default: None, help }
    }
}

/// Options of every rig.
pub const COMMON: [Opt; 3] = [
    Opt {
        name: "bin",
        value: Some("FILE"),
        default: None,
        help: "the server to judge (else the environment's FILMGATE_BIN)",
    },
    Opt {
        name: "env",
        value: Some("NAME=VALUE"),
        default: None,
        help: "a setting in the server's environment; may be given several times",
    },
    Opt { name: "seed", value: Some("N"), default: Some("1"), help: "what chance begins with" },
];

/// What stood on the command line.
#[derive(Clone, Debug, Default)]
pub struct Args {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Args {
    pub fn parse(options: &[Opt], words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            };
            let option = options
                .iter()
                .chain(&COMMON)
                .find(|option| name.strip_prefix("--") == Some(option.name))
                .with_context(|| format!("unknown option {word}; --help lists them"))?;
            let value = match (option.value, joined) {
                (None, None) => String::new(),
                (None, Some(_)) => bail!("--{} takes no value", option.name),
                (Some(_), Some(value)) => value,
                (Some(what), None) => words.next().with_context(|| format!("--{} wants {what}", option.name))?,
            };
            args.values.entry(option.name).or_default().push(value);
        }
        for option in options.iter().chain(&COMMON) {
            if let Some(default) = option.default {
                args.values.entry(option.name).or_insert_with(|| vec![default.to_owned()]);
            }
        }
        Ok(args)
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The option's value, the last where there are several.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).and_then(|all| all.last()).map_or("", String::as_str)
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        self.text(name).parse().ok().with_context(|| format!("--{name} {}: no number of that kind", self.text(name)))
    }

    pub fn binary(&self) -> Option<PathBuf> {
        match self.text("bin") {
            "" => std::env::var_os("FILMGATE_BIN").map(PathBuf::from),
            path => Some(path.into()),
        }
    }

    pub fn envs(&self) -> Result<Vec<(String, String)>> {
        let pairs = self.values.get("env").into_iter().flatten();
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').with_context(|| format!("--env {pair}: no NAME=VALUE"))?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }
}

/// The lines that describe the options.
pub fn describe(options: &[Opt]) -> String {
    let line = |option: &Opt| {
        let left = format!("--{} {}", option.name, option.value.unwrap_or_default());
        let default = option.default.filter(|value| !value.is_empty());
        let default = default.map(|value| format!(" [{value}]")).unwrap_or_default();
        format!("  {left:<28} {}{default}", option.help)
    };
    let mut lines: Vec<String> = options.iter().chain(&COMMON).map(line).collect();
    lines.push(line(&Opt::flag("help", "this text")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [Opt; 2] =
        [Opt::value("cuts", "N", "100", "how many"), Opt::flag("control", "the run that must fail")];

    fn parse(line: &str) -> Result<Args> {
        Args::parse(&OPTIONS, line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn values_flags_and_defaults() {
        let args = parse("--cuts=7 --control --env A=1 --env B=x=y --bin /srv").unwrap();
        assert_eq!(args.number::<u64>("cuts").unwrap(), 7);
        assert_eq!(args.number::<u64>("seed").unwrap(), 1);
        assert!(args.has("control"));
        assert_eq!(args.envs().unwrap(), [("A".into(), "1".into()), ("B".into(), "x=y".into())]);
        assert_eq!(args.binary().unwrap(), PathBuf::from("/srv"));
        assert!(!parse("").unwrap().has("control"));
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in ["--cust 7", "--cuts", "--control=yes", "cuts"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("--cuts many").unwrap().number::<u64>("cuts").is_err());
    }
}
