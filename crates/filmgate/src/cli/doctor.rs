//! `filmgate doctor`: says in plain words what about this machine and configuration will hurt.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Common, output};
use crate::app::App;
use crate::doctor::{self, Finding, Level, bad, good, warning};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Also ask the server as browsers reach it, through its proxy: https://photos.example.org
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(super) async fn run(args: DoctorArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let config = common.load(Vec::new())?;
    let mut findings = doctor::before_opening(&config);
    if !config.data_dir.exists() {
        findings.push(good(format!("{} does not exist yet: the first start makes it", config.data_dir.display())));
    } else if config.catalog_server().is_some() || config.catalog_path().exists() {
        findings.extend(doctor::opened(&App::open(config).await?).await?);
    } else {
        findings.push(good("the data folder has no catalog yet: the first start makes it"));
    }
    if let Some(url) = args.url {
        findings.extend(tokio::task::spawn_blocking(move || through_proxy(&url)).await?);
    }
    if common.json {
        output::many(true, &findings, &[])?;
    } else {
        for finding in &findings {
            let mark = match finding.level {
                Level::Good => "  ok  ",
                Level::Warning => " warn ",
                Level::Bad => " BAD  ",
            };
            output::say(format_args!("[{mark}] {}", finding.what))?;
        }
    }
    Ok(ExitCode::from(u8::from(findings.iter().any(|finding| finding.level == Level::Bad))))
}

/// Bytes sent through the proxy to see whether it lets a photo pass: a 12-megapixel JPEG has some 4 MB.
const PROBE_BYTES: usize = 8 * 1024 * 1024;

fn through_proxy(url: &str) -> Vec<Finding> {
    let url = url.trim_end_matches('/');
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut findings = Vec::new();
    let ours = |headers: &ureq::http::HeaderMap| headers.contains_key("x-request-id");
    match agent.get(format!("{url}/assessment/camera/settings/x")).call() {
        Ok(answer) if ours(answer.headers()) => findings.push(good(format!("{url} leads to Filmgate"))),
        Ok(answer) => {
            findings.push(bad(format!(
                "{url} answers {} and it is not Filmgate's answer: the proxy does not pass /assessment/camera/ on",
                answer.status()
            )));
            return findings;
        }
        Err(error) => {
            findings.push(bad(format!("{url} does not answer: {error}")));
            return findings;
        }
    }
    let probe = vec![b'-'; PROBE_BYTES];
    let sent = agent
        .post(format!("{url}/assessment/camera/upload"))
        .header("content-type", "multipart/form-data; boundary=probe")
        .send(&probe[..]);
    findings.push(match sent {
        Ok(answer) if ours(answer.headers()) => good("the proxy lets a photo of 8 MB pass"),
        Ok(answer) if answer.status().as_u16() == 413 => {
            bad("the proxy refuses a photo of 8 MB (413): raise client_max_body_size in nginx to 256m")
        }
        Ok(answer) => warning(format!("the proxy answers an upload with {} by itself", answer.status())),
        Err(error) => warning(format!("an upload of 8 MB did not get through: {error}")),
    });
    findings
}
