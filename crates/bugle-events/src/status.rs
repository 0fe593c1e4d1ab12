//! The result of a webhook's call.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::record::Field;

/// The result of a webhook's call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum WebhookStatus {
    /// The webhook answered with a status from 200 to 299.
    Success,
    /// The webhook gave no answer.
    ConnectionError,
    /// The webhook answered with another status.
    ResponseError,
    /// The webhook answered 410: the subscriber wants no more events.
    SubscriberGone,
    /// A status that another system wrote.
    Other(String),
}

impl WebhookStatus {
    /// The status as events carry it: `connection_error`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::ConnectionError => "connection_error",
            Self::ResponseError => "response_error",
            Self::SubscriberGone => "subscriber_gone",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for WebhookStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for WebhookStatus {
    fn from(text: String) -> Self {
        let known =
            [Self::Success, Self::ConnectionError, Self::ResponseError, Self::SubscriberGone];
        let found = known.into_iter().find(|status| status.as_str() == text);
        found.unwrap_or(Self::Other(text))
    }
}

impl From<WebhookStatus> for String {
    fn from(status: WebhookStatus) -> Self {
        match status {
            WebhookStatus::Other(text) => text,
            known => known.as_str().to_owned(),
        }
    }
}

impl Default for WebhookStatus {
    /// The status of an event that has none.
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl Field for WebhookStatus {
    fn is_blank(&self) -> bool {
        self.as_str().is_empty()
    }

    fn require(schema: &mut Schema) {
        String::require(schema);
    }
}

impl JsonSchema for WebhookStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WebhookStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "examples": ["success", "connection_error", "response_error", "subscriber_gone"]
        })
    }
}
