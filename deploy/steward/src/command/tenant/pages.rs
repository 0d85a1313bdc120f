//! Files of an export: each is written beside its name and then put there, so that one that is there is whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_queries::{PAGE_ROWS_MAX, Page};

use crate::client::Client;

/// A file that is being written; its name is taken when it is whole.
pub(super) struct Part {
    path: PathBuf,
    written: BufWriter<File>,
    rows: u64,
}

impl Part {
    /// Begins `path`, from the start.
    pub(super) fn begin(path: &Path) -> Result<Self, BoxError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let written = BufWriter::new(File::create(beside(path))?);
        Ok(Self { path: path.to_owned(), written, rows: 0 })
    }

    /// One row as a line of JSON.
    pub(super) fn row(&mut self, row: &Value) -> Result<(), BoxError> {
        serde_json::to_writer(&mut self.written, row)?;
        self.rows += 1;
        Ok(self.written.write_all(b"\n")?)
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), BoxError> {
        Ok(self.written.write_all(bytes)?)
    }

    /// Ends it: how many rows it has.
    pub(super) fn end(mut self) -> Result<u64, BoxError> {
        self.written.flush()?;
        self.written.get_ref().sync_all()?;
        fs::rename(beside(&self.path), &self.path)?;
        Ok(self.rows)
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("part")
}

/// All rows of the list of `noun`, page by page into a file.
pub(super) async fn list(client: &Client, tenant: &TenantId, noun: &str, path: &Path) -> Result<u64, BoxError> {
    let mut part = Part::begin(path)?;
    let mut asked = Map::from_iter([("limit".to_owned(), Value::from(PAGE_ROWS_MAX))]);
    loop {
        let page: Page<Value> = client.query(tenant, noun, "list", &asked).await?;
        for row in &page.rows {
            part.row(row)?;
        }
        match page.next {
            Some(next) if asked.get("after").and_then(Value::as_str) != Some(&next) => {
                asked.insert("after".to_owned(), Value::from(next));
            }
            Some(stuck) => return Err(format!("the list of each {noun} does not go on after {stuck}").into()),
            None => return part.end(),
        }
    }
}

/// The rows of a file that is whole.
pub(super) fn rows(path: &Path) -> Result<Vec<Value>, BoxError> {
    let text = fs::read_to_string(path)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
