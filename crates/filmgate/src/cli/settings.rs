//! `filmgate settings`

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::{Common, output};
use crate::app::App;
use crate::routes::camera_settings::{ChangeSettings, RecordingMode, SettingsView};

const COLUMNS: &[&str] =
    &["id", "setting_name", "recording_mode", "interval_seconds", "resolution", "is_active", "is_default"];

#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Make camera settings
    Create {
        /// What you call them; unique
        name: String,
        #[command(flatten)]
        members: Members,
    },
    /// List camera settings, newest first
    List,
    /// Change camera settings
    Change {
        /// The settings' id
        id: Uuid,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        members: Members,
    },
    /// Deactivate camera settings: they count as none
    Deactivate {
        /// The settings' id
        id: Uuid,
    },
    /// Make camera settings the default for new sessions
    Default {
        /// The settings' id
        id: Uuid,
    },
}

#[derive(Debug, Default, Args)]
pub(super) struct Members {
    /// When frames are taken
    #[arg(long)]
    mode: Option<ModeName>,
    /// Seconds between frames, for interval mode
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u32>,
    /// Width and height in pixels, as in 1280x720
    #[arg(long, value_name = "WxH")]
    resolution: Option<String>,
    /// A frame at each click
    #[arg(long, value_name = "BOOL")]
    on_button_click: Option<bool>,
    /// A frame at each message sent
    #[arg(long, value_name = "BOOL")]
    on_message_send: Option<bool>,
    /// A frame as each question starts
    #[arg(long, value_name = "BOOL")]
    on_question_start: Option<bool>,
    /// Active or not
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
    /// The default for new sessions
    #[arg(long, value_name = "BOOL")]
    default: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ModeName {
    /// One frame every so many seconds
    Interval,
    /// One frame at each event that is switched on
    EventDriven,
}

impl Members {
    fn change(self, setting_name: Option<String>) -> ChangeSettings {
        ChangeSettings {
            setting_name,
            recording_mode: self.mode.map(|mode| match mode {
                ModeName::Interval => RecordingMode::Interval,
                ModeName::EventDriven => RecordingMode::EventDriven,
            }),
            interval_seconds: self.interval,
            resolution: self.resolution,
            capture_on_button_click: self.on_button_click,
            capture_on_message_send: self.on_message_send,
            capture_on_question_start: self.on_question_start,
            is_active: self.active,
            is_default: self.default,
        }
    }
}

pub(super) async fn run(command: SettingsCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    let (id, change) = match command {
        SettingsCommand::Create { name, members } => {
            let mut members = members;
            members.mode.get_or_insert(ModeName::Interval);
            if matches!(members.mode, Some(ModeName::Interval)) {
                members.interval.get_or_insert(1);
            }
            let chosen = members.change(Some(name)).to_new().map_err(|error| anyhow::anyhow!(error.message))?;
            let settings = app.records.create_camera_settings(Uuid::now_v7(), chosen, app.now()).await?;
            return output::one(common.json, &SettingsView::from(settings));
        }
        SettingsCommand::List => {
            let page = app.records.list_camera_settings(None, 10_000).await?;
            let settings: Vec<SettingsView> = page.items.into_iter().map(Into::into).collect();
            return output::many(common.json, &settings, COLUMNS);
        }
        SettingsCommand::Change { id, name, members } => (id, members.change(name)),
        SettingsCommand::Deactivate { id } => {
            (id, ChangeSettings { is_active: Some(false), is_default: Some(false), ..ChangeSettings::default() })
        }
        SettingsCommand::Default { id } => (id, ChangeSettings { is_default: Some(true), ..ChangeSettings::default() }),
    };
    output::one(common.json, &apply(app, id, &change).await?)
}

async fn apply(app: &App, id: Uuid, change: &ChangeSettings) -> anyhow::Result<SettingsView> {
    let before =
        app.records.camera_settings(id).await?.with_context(|| format!("there are no camera settings {id}"))?;
    let chosen = change.over(before.chosen).map_err(|error| anyhow::anyhow!(error.message))?;
    Ok(app.records.change_camera_settings(id, chosen, Some(before.updated_at), app.now()).await?.into())
}
