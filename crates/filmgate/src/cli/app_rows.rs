//! The app's own rows, for commands that read them: `import` and `shadow`.

use anyhow::{Context, ensure};
use intake::SessionSource;
use uuid::Uuid;

use crate::app::App;
use crate::app_database::AppDatabase;

/// The app's database, as configured, with its table of captures.
pub(super) fn open(app: &App) -> anyhow::Result<AppDatabase> {
    let database = app.host.clone().context("which database has the app's rows? Set host.database_url")?;
    ensure!(
        !app.config.host.captures_table.is_empty(),
        "host.captures_table is empty: the app has no captures, it says"
    );
    Ok(database)
}

/// The app's session of this key, laid into the catalog; Filmgate's id of it. None where the app has no such session.
pub(super) async fn see_session(database: &AppDatabase, key: &str) -> anyhow::Result<Option<Uuid>> {
    Ok(database.gate(key).await?.map(|gate| gate.session.id))
}
