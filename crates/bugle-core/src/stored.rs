//! The one form in which an emitter's configuration is written down with its keys in clear, so that
//! the emitter still signs after a restart.
//!
//! [`EmitterConfig`] and [`Secret`](crate::Secret) are not serializable as they are: whoever writes
//! a configuration down has to say so, here. The form is JSON of a numbered version. A field that
//! this version does not know is an error: to pass over it could change where or how an emitter
//! delivers.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::EmitterConfig;

mod setting;

/// The version of the form.
const VERSION: u32 = 1;

/// An emitter's configuration as it is written down: JSON, with its keys in clear. `Debug` redacts
/// it, and memory that held it is wiped.
///
/// ```
/// use bugle_core::{EmitterConfig, Secret, stored::StoredConfig};
///
/// let config = EmitterConfig::new("https://example.com/hooks")?.secret(Secret::parse("shh")?);
/// let stored = StoredConfig::write(&config)?;
/// assert_eq!(format!("{stored:?}"), "StoredConfig([redacted])");
/// assert_eq!(stored.read()?.secrets[0].reveal(), "shh");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoredConfig(Zeroizing<String>);

/// The reason why a configuration could not be written down or read back. It never repeats the
/// values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Another version of Bugle wrote it.
    #[error(
        "it was written in version {found} of its form, and this version of Bugle knows version \
         {known}: use the one that wrote it, or attach the emitter again"
    )]
    Version {
        /// The version that the text is in.
        found: u32,
        /// The version that this library reads.
        known: u32,
    },
    /// The text is not as it was written.
    #[error("it is not a configuration ({reason}): attach the emitter again to replace it")]
    Unreadable {
        /// Names the place where it is wrong, and the fault.
        reason: String,
    },
    /// A value can't be written down.
    #[error("the configuration can't be written down ({reason})")]
    Unwritable {
        /// Names the value, and the reason.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize)]
struct Writing<'a> {
    version: u32,
    #[serde(serialize_with = "setting::write")]
    config: &'a EmitterConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(with = "setting::Config")]
    config: EmitterConfig,
}

impl StoredConfig {
    /// Writes a configuration down.
    ///
    /// # Errors
    /// [`StoredError::Unwritable`], for values that no configuration has that passes
    /// [`EmitterConfig::validate`].
    pub fn write(config: &EmitterConfig) -> Result<Self, StoredError> {
        let mut text = Zeroizing::new(Vec::with_capacity(capacity(config)));
        serde_json::to_writer(&mut *text, &Writing { version: VERSION, config })
            .map_err(|error| StoredError::Unwritable { reason: explain(&error) })?;
        let text = String::from_utf8(std::mem::take(&mut *text))
            .map_err(|_| StoredError::Unwritable { reason: "not UTF-8".to_owned() })?;
        Ok(Self::from_text(text))
    }

    /// Takes a text that was written down earlier. It is looked at when it is read.
    pub fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, with keys in clear. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads the configuration back, as it was written. It may be one that
    /// [`EmitterConfig::validate`] refuses, if such a one was written.
    ///
    /// # Errors
    /// [`StoredError`] when it has another version, or is not as it was written.
    pub fn read(&self) -> Result<EmitterConfig, StoredError> {
        let unreadable = |error| StoredError::Unreadable { reason: explain(&error) };
        let Versioned { version } = serde_json::from_str(&self.0).map_err(unreadable)?;
        if version != VERSION {
            return Err(StoredError::Version { found: version, known: VERSION });
        }
        let Reading { config, .. } = serde_json::from_str(&self.0).map_err(unreadable)?;
        Ok(config)
    }
}

impl fmt::Debug for StoredConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredConfig([redacted])")
    }
}

/// Guesses a capacity, nearly always enough: memory that grows leaves copies behind.
fn capacity(config: &EmitterConfig) -> usize {
    let secrets: usize = config.secrets.iter().map(|it| it.reveal().len() + 128).sum();
    let headers: usize = config.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let certificates: usize = config.root_certificates.iter().map(String::len).sum();
    let identity = config.client_identity.as_ref();
    let identity = identity.map_or(0, |it| it.certificate_chain().len() + it.private_key().len());
    // Escaped, a character may take more.
    2048 + config.url.as_str().len() + 2 * (secrets + headers + certificates + identity)
}

/// Explains serde's error, as far as it does not repeat a value: any of them may be a key.
fn explain(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    match ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|it| said.starts_with(it))
    {
        true => said,
        false => format!("wrong at line {line} column {column}"),
    }
}
