//! A trace, named by its id or by a whole traceparent.

use std::str::FromStr;

use bugle::TraceContext;

/// A text is neither a trace id nor a traceparent. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no trace: give a W3C trace id, 32 lower-case hex digits that are not all \
     zeros, or a traceparent, 00-<trace id>-<parent id>-<flags>"
)]
#[non_exhaustive]
pub struct TraceError {
    /// The text that was given.
    pub text: String,
}

/// A trace's id, and its context where that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) id: String,
    pub(super) parent: Option<TraceContext>,
}

impl FromStr for Trace {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let wrong = || TraceError { text: text.to_owned() };
        if !text.contains('-') {
            let id = text.to_owned();
            context(&id, "0000000000000001").ok_or_else(wrong)?;
            return Ok(Self { id, parent: None });
        }
        let parent = TraceContext::new(text).map_err(|_| wrong())?;
        let id = text.split('-').nth(1).unwrap_or_default().to_owned();
        Ok(Self { id, parent: Some(parent) })
    }
}

/// Makes the context of a trace of which only the id is known. It counts as sampled: an event of a
/// trace that somebody asks for by its id is to be found in it.
pub(super) fn context(trace_id: &str, parent: &str) -> Option<TraceContext> {
    TraceContext::new(format!("00-{trace_id}-{parent}-01")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_its_id_or_a_traceparent_and_nothing_else() {
        assert_eq!(ID.parse(), Ok(Trace { id: ID.to_owned(), parent: None }));
        let parent = format!("00-{ID}-00f067aa0ba902b7-00");
        let read: Result<Trace, _> = parent.parse();
        assert_eq!(read.as_ref().map(|trace| trace.id.as_str()), Ok(ID));
        let kept = read.ok().and_then(|trace| trace.parent).map(|context| context.traceparent);
        assert_eq!(kept, Some(parent.clone()));
        let zeros = "0".repeat(32);
        for bad in [
            "",
            " ",
            "x",
            &ID[1..],
            &ID.to_uppercase(),
            &format!("{ID}0"),
            &format!(" {ID}"),
            &zeros,
            &format!("00-{ID}-00f067aa0ba902b7"),
            &parent.to_uppercase(),
            &format!("00-{zeros}-00f067aa0ba902b7-01"),
            &format!("{parent}\n"),
            "-",
        ] {
            let error = bad.parse::<Trace>().map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("32 lower-case hex")), "{bad:?}");
        }
    }
}
