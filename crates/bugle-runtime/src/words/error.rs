//! The errors that callers are told: one small one per group of calls.

use bugle_core::payload::PayloadError;
use bugle_core::{
    AppendError, ConfigError, EmitterId, ErrorKind, IdError, JournalError, Refused, RequestId,
    SpecError, SubscriptionError,
};

/// Why an emitter was not attached. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// An emitter of this id is running, or restarting after a crash.
    #[error("emitter {0:?} already exists: choose another id, or detach it first")]
    AlreadyExists(EmitterId),
    /// An emitter of this id is paused, or failed.
    #[error("emitter {0:?} is already present, but does not run: restart it, or detach it first")]
    AlreadyPresent(EmitterId),
    /// The id breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The list of event names breaks a rule.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// A setting can't work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store can't keep the emitter's cursor.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// The runtime was shut down.
    #[error("the runtime was shut down: start another one")]
    ShutDown,
}

/// Why an emitter was not restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// There is none of this id.
    #[error("there is no emitter {0:?}: attach it first")]
    NotFound(String),
    /// It is running already.
    #[error("emitter {0:?} is running: pause it first if it should start anew")]
    Running(EmitterId),
    /// It crashed, and is about to be restarted by its supervisor.
    #[error("emitter {0:?} is being restarted after a crash: wait for it")]
    Restarting(EmitterId),
    /// The store can't do its part: it runs, and the store does not have that for good yet; or
    /// another owner has it, and keeps it.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// The runtime was shut down.
    #[error("the runtime was shut down: start another one")]
    ShutDown,
}

/// Why an emitter was not paused, detached or updated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is none of this id. Only `update` and `inject_crash` mind.
    #[error("there is no emitter {0:?}: attach it first")]
    NotFound(String),
    /// A setting can't work, or does not fit the emitter's kind.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store can't do its part.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// The runtime was shut down.
    #[error("the runtime was shut down: start another one")]
    ShutDown,
}

/// Why an event was not accepted. Nothing of it was stored, unless its kind is
/// [`ErrorKind::Unavailable`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The event's name, request id or ordering key breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The payload is not a JSON object, or can't be encoded.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The payload is larger than this runtime accepts.
    #[error(
        "the payload has {bytes} bytes, and at most {limit} are accepted: send a reference to \
         what is large, or raise max_payload_bytes"
    )]
    TooLarge {
        /// The payload's size, encoded.
        bytes: usize,
        /// The runtime's limit.
        limit: usize,
    },
    /// The runtime's event check, or the event's own type, refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The journal did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store can't be reached, and nobody knows whether it took the event.
    #[error(
        "nobody knows whether event {request_id:?} was accepted: emit it again under this id \
         ({error})"
    )]
    Unknown {
        /// The event's request id: emitted again under it, the event is accepted once.
        request_id: RequestId,
        /// The store's error.
        error: JournalError,
    },
    /// The runtime was shut down, or is shutting down.
    #[error("the runtime is shut down and accepts nothing more")]
    ShutDown,
}

/// Why a runtime did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tokio runtime here, or the root supervisor could not be spawned in it.
    #[error("the root supervisor did not start: {0}")]
    Supervisor(String),
    /// The store's specs of the emitters can't be read.
    #[error(transparent)]
    Specs(#[from] SpecError),
    /// An emitter that is to be restored can't work any more.
    #[error(
        "emitter {emitter:?} can't be restored ({reason}): start without restore_emitters, and \
         ensure it with what works, or detach it"
    )]
    Emitter {
        /// Which one.
        emitter: EmitterId,
        /// Why.
        reason: String,
    },
}

impl AttachError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `alreadyExists`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists(_) => "alreadyExists",
            Self::AlreadyPresent(_) => "alreadyPresent",
            Self::Id(error) => error.code(),
            Self::Subscription(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::ShutDown => "shutDown",
        }
    }
}

impl RestartError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `emitterNotFound`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "emitterNotFound",
            Self::Running(_) => "emitterRunning",
            Self::Restarting(_) => "emitterRestarting",
            Self::Store(error) => error.code(),
            Self::ShutDown => "shutDown",
        }
    }
}

impl ControlError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `emitterNotFound`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "emitterNotFound",
            Self::Config(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::ShutDown => "shutDown",
        }
    }
}

impl EmitError {
    /// The kind of the error: whether the same may work a little later, say.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Append(error) => error.kind(),
            Self::Unknown { error, .. } => error.kind,
            _ => ErrorKind::Refused,
        }
    }

    /// The journal's error for the event of this id.
    pub(crate) fn of(request_id: &RequestId, error: AppendError) -> Self {
        match error {
            AppendError::Store(error) if error.kind == ErrorKind::Unavailable => {
                Self::Unknown { request_id: request_id.clone(), error }
            }
            error => Self::Append(error),
        }
    }

    /// A name for the kind of error that stays the same from version to version, as
    /// `invalidEventName`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Id(error) => error.code(),
            Self::Payload(error) => error.code(),
            Self::TooLarge { .. } => "payloadTooLarge",
            Self::Refused(error) => error.code(),
            Self::Append(error) => error.code(),
            Self::Unknown { error, .. } => error.code(),
            Self::ShutDown => "shutDown",
        }
    }
}

impl StartError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `emitterNotRestored`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Supervisor(_) => "supervisorNotStarted",
            Self::Specs(error) => error.code(),
            Self::Emitter { .. } => "emitterNotRestored",
        }
    }
}
