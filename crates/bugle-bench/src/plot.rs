//! Plots of the results.

use std::path::Path;

use anyhow::Result;

use crate::report::Row;

/// Draws them all.
pub(crate) fn all(_directory: &Path, _rows: &[Row]) -> Result<()> {
    Ok(())
}
