//! The bucket's care: what lies in it, what is set aside, what is cleared away.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use uuid::Uuid;

use super::S3;
use super::faults::Fault;
use crate::care::ListedBlob;
use crate::folder::{Folder, QUARANTINE, is_plain, is_time_folder, split_key};
use crate::{Error, Result};

/// Days listed at once.
const LISTED_AT_ONCE: usize = 8;

impl S3 {
    /// At least the newest `max` time folders, oldest first: all there are where there are fewer.
    pub(crate) async fn newest_time_folders(&self, max: usize) -> Result<Vec<String>> {
        let waiting = self.here(Folder::time_folders).await?.unwrap_or_default();
        let _place = self.requests.place().await?;
        let mut days = self.folders_in("").await?;
        days.reverse();
        let mut minutes = futures_util::stream::iter(days)
            .map(|day| async move {
                let minutes = self.folders_in(&day).await?;
                Ok::<Vec<String>, Error>(minutes.into_iter().map(|minute| format!("{day}/{minute}")).collect())
            })
            .buffered(LISTED_AT_ONCE);
        let mut folders = Vec::new();
        while folders.len() < max
            && let Some(more) = minutes.try_next().await?
        {
            folders.extend(more);
        }
        folders.extend(waiting);
        folders.sort_unstable();
        folders.dedup();
        Ok(folders)
    }

    pub(crate) async fn is_empty(&self) -> Result<bool> {
        if self.here(Folder::is_empty).await? == Some(false) {
            return Ok(false);
        }
        let _place = self.requests.place().await?;
        Ok(self.folders_in("").await?.is_empty())
    }

    /// The names of what keys go on with.
    async fn folders_in(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.retrying(|| self.list_once(folder)).await?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename()).map(str::to_owned).collect();
        names.retain(|name| is_plain(name));
        names.sort_unstable();
        Ok(names)
    }

    async fn list_once(&self, folder: &str) -> Result<ListResult, Fault> {
        let prefix = self.path(folder);
        let prefix = (!prefix.as_ref().is_empty()).then_some(&prefix);
        Ok(self.client.list_with_delimiter(prefix).await?)
    }

    pub(crate) async fn list(&self, time_folder: &str) -> Result<Vec<ListedBlob>> {
        if !is_time_folder(time_folder) {
            return Err(Error::BadKey(time_folder.to_owned()));
        }
        // First: what is shipped meanwhile is in both then, and not in neither.
        let minute = time_folder.to_owned();
        let mut blobs = self.here(move |folder| folder.list(&minute)).await?.unwrap_or_default();
        let waiting: HashSet<String> = blobs.iter().map(|blob| blob.key.clone()).collect();
        let _place = self.requests.place().await?;
        let listed = self.retrying(|| self.list_once(time_folder)).await?;
        let now = SystemTime::now();
        for object in listed.objects {
            match object.location.filename() {
                Some(name) if is_plain(name) => {
                    let key = format!("{time_folder}/{name}");
                    if !waiting.contains(&key) {
                        blobs.push(ListedBlob { key, age: age_of(&object, now) });
                    }
                }
                _ => tracing::warn!(time_folder, "something that is no photo lies among the photos; it is left alone"),
            }
        }
        Ok(blobs)
    }

    /// Copied aside first: cut off in between, it is in both places, and the next check goes on.
    pub(crate) async fn quarantine(&self, key: &str) -> Result<()> {
        let (_, name) = split_key(key)?;
        let waiting = key.to_owned();
        if self.here(move |folder| folder.quarantine(&waiting)).await?.is_some() {
            return Ok(());
        }
        let _place = self.requests.place().await?;
        let from = self.path(key);
        let mut aside = self.aside(name);
        // Put back by a person and set aside again: both are kept.
        let taken = || async { Ok(self.client.head(&aside).await?) };
        match self.retrying(taken).await {
            Err(Fault::NotFound) => {}
            Ok(_) => aside = self.aside(&format!("{}-{name}", Uuid::now_v7().simple())),
            Err(fault) => return Err(fault.into()),
        }
        let copy = || async { Ok(self.client.copy(&from, &aside).await?) };
        self.retrying(copy).await?;
        Ok(self.remove(&from).await?)
    }

    pub(crate) async fn quarantine_note(&self, name: &str, text: String) -> Result<()> {
        if !is_plain(name) {
            return Err(Error::BadKey(name.to_owned()));
        }
        let _place = self.requests.place().await?;
        let (path, payload) = (self.aside(name), PutPayload::from(text));
        let put = || async { Ok(self.client.put(&path, payload.clone()).await?) };
        self.retrying(put).await?;
        Ok(())
    }

    pub(crate) async fn clear_quarantine(&self, age_min: Duration) -> Result<usize> {
        let _place = self.requests.place().await?;
        let listed = self.retrying(|| self.list_once(QUARANTINE)).await?;
        let now = SystemTime::now();
        let mut removed = self.here(move |folder| folder.clear_quarantine(age_min)).await?.unwrap_or(0);
        for object in listed.objects {
            if age_of(&object, now) >= age_min {
                self.remove(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn aside(&self, name: &str) -> Path {
        self.path(&format!("{QUARANTINE}/{name}"))
    }
}

/// An object of the future, by another's clock, is as good as new.
fn age_of(object: &ObjectMeta, now: SystemTime) -> Duration {
    now.duration_since(SystemTime::from(object.last_modified)).unwrap_or_default()
}
