//! Texts with a meaning: stored as they were written, valid or not, and judged when an event is
//! checked.

use std::fmt;
use std::ops::Deref;

use garde::Report;
use garde::error::Path;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::record::{Field, problem};
use crate::urn;

macro_rules! text {
    ($(#[$meta:meta])* $Name:ident, $valid:expr, $report:expr, $schema:tt) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $Name(String);

        impl $Name {
            /// Takes this text as it stands, unchecked.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True when the text is valid for its type.
            pub fn is_valid(&self) -> bool {
                $valid(&self.0)
            }
        }

        impl Field for $Name {
            fn is_blank(&self) -> bool {
                self.0.is_empty()
            }

            fn check(&self, path: &mut dyn FnMut() -> Path, report: &mut Report) {
                if !self.is_valid() {
                    let tell: fn(&Self, &mut dyn FnMut() -> Path, &mut Report) = $report;
                    tell(self, path, report);
                }
            }

            fn require(schema: &mut Schema) {
                String::require(schema);
            }
        }

        impl JsonSchema for $Name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }

        impl Deref for $Name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $Name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $Name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl PartialEq<str> for $Name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $Name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

text! {
    /// A UUID of any version, in its form of 36 characters, in lower case.
    Uuid, |text| version(text).is_some(),
    |_, path, report| problem(path, "must be a valid UUID", report),
    { "type": "string", "pattern": "^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$" }
}

text! {
    /// A UUID of version 4, in its form of 36 characters, in lower case.
    Uuid4, |text| version(text) == Some(4),
    |_, path, report| problem(path, "must be a valid UUID4", report),
    {
        "type": "string",
        "pattern": "^([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})?$"
    }
}

text! {
    /// A contact's address, as `tel:+12065551212`: a scheme, a path, and perhaps a query and a
    /// display, `scheme:path?query#display`.
    Urn, urn::is_valid, |_, path, report| problem(path, "failed tag 'urn'", report),
    { "type": "string", "pattern": "^([a-z]+:.+)?$" }
}

text! {
    /// An attachment of a message, `content-type:url`. Every text is valid.
    Attachment, |_| true, |_, path, report| problem(path, "must be an attachment", report),
    { "type": "string" }
}

const HINTS: [&str; 5] = ["audio", "digits", "image", "location", "video"];

text! {
    /// The kind of answer that a flow waits for: `audio`, `digits`, `image`, `location` or `video`.
    /// Another is reported as an unknown event type is, `unknown type: 'smell'`, without the
    /// field's name.
    HintType, |text| HINTS.contains(&text),
    |kind, _, report| {
        problem(&mut Path::empty, &format!("unknown type: '{kind}'"), report);
    },
    { "enum": HINTS }
}

impl From<uuid::Uuid> for Uuid {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.to_string())
    }
}

impl Uuid4 {
    /// Makes a random UUID.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

impl Urn {
    /// The kind of address, `tel`; empty when there is no colon.
    pub fn scheme(&self) -> &str {
        urn::parts(&self.0).scheme
    }

    /// The address itself, `+12065551212`.
    pub fn path(&self) -> &str {
        urn::parts(&self.0).path
    }

    /// The text between `?` and `#`.
    pub fn query(&self) -> Option<&str> {
        urn::parts(&self.0).query
    }

    /// The text after `#`, under which the address is shown.
    pub fn display(&self) -> Option<&str> {
        urn::parts(&self.0).display
    }
}

impl Attachment {
    /// The text before the first colon, `image/jpeg`; empty when there is none.
    pub fn content_type(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// The text after the first colon; all of it when there is none.
    pub fn url(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, url)| url)
    }
}

/// The version of a UUID that is written with four dashes, in lower case; 0 when its variant has no
/// versions.
fn version(text: &str) -> Option<usize> {
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let has_version = uuid.get_variant() == uuid::Variant::RFC4122;
    Some(if has_version { uuid.get_version_num() } else { 0 })
}
