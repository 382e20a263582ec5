//! `filmgate health`: asks the server of this configuration whether it lives, for whoever watches containers.
//!
//! **Promises** an answer within [`LIMIT`], and to touch nothing but the socket: no folder, no catalog. An image
//! without a shell and without curl has no other way to ask.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Common, output};

/// Whoever asks has a limit of their own, mostly a few seconds, and cuts without saying why.
const LIMIT: Duration = Duration::from_secs(4);
/// Reasons of /readyz are a few lines.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Ask whether it is ready for uploads, and not only whether it lives
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(args: &HealthArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let config = common.load(Vec::new())?;
    let scheme = if config.server.tls_files().is_some() { "https" } else { "http" };
    let address = super::serve::reachable(super::serve::address(&config)?);
    let path = if args.ready { "/readyz" } else { "/livez" };
    let (status, answer) = ask(scheme, address, path)?;
    output::say(format_args!("{status} {}", answer.trim_end()))?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ask(scheme: &str, address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    // The server's certificate names its host, never this address; and who is asked is this machine.
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .tls_config(tls)
        // A proxy for the world outside has no way to this machine.
        .proxy(None)
        .build()
        .into();
    let url = format!("{scheme}://{address}{path}");
    let mut answer = agent.get(&url).call().map_err(|error| anyhow::anyhow!("{url} does not answer: {error}"))?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok((status, text))
}
