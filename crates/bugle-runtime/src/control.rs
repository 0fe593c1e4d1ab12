//! What a control call may do, by the emitter's state: the table of the original, as pure code.

use bugle_core::EmitterId;

use crate::description::Status;
use crate::error::{AttachError, RestartError};

/// `attach` of an id whose emitter is in this state; `None` when there is none.
pub(crate) fn may_attach(id: &EmitterId, status: Option<Status>) -> Result<(), AttachError> {
    match status {
        None => Ok(()),
        Some(Status::Running | Status::Restarting) => Err(AttachError::AlreadyExists(id.clone())),
        Some(Status::Paused | Status::Failed) => Err(AttachError::AlreadyPresent(id.clone())),
    }
}

/// `restart` of an emitter in this state.
pub(crate) fn may_restart(id: &EmitterId, status: Option<Status>) -> Result<(), RestartError> {
    match status {
        None => Err(RestartError::NotFound(id.to_string())),
        Some(Status::Running) => Err(RestartError::Running(id.clone())),
        Some(Status::Restarting) => Err(RestartError::Restarting(id.clone())),
        Some(Status::Paused | Status::Failed) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_original() -> Result<(), bugle_core::IdError> {
        let id = EmitterId::new("a")?;
        let exists = || Err(AttachError::AlreadyExists(id.clone()));
        let present = || Err(AttachError::AlreadyPresent(id.clone()));
        let table = [
            (None, Ok(()), Err(RestartError::NotFound("a".to_owned()))),
            (Some(Status::Running), exists(), Err(RestartError::Running(id.clone()))),
            (Some(Status::Paused), present(), Ok(())),
            (Some(Status::Restarting), exists(), Err(RestartError::Restarting(id.clone()))),
            (Some(Status::Failed), present(), Ok(())),
        ];
        for (status, attach, restart) in table {
            assert_eq!(may_attach(&id, status), attach);
            assert_eq!(may_restart(&id, status), restart);
        }
        Ok(())
    }
}
