//! The kind of answer that a flow waits for.

use garde::error::{Error, Path};
use garde::{Report, Validate};

use crate::{Field, HintType, Invalid, Rules};

// A record but for how its problems are told, see `Field::check` below.
crate::__record! {
    [None] [#[doc = "What kind of answer is waited for."]] pub Hint
    {
        [" The kind."]
        kind ["type"] HintType => Rules::REQUIRED,
        [" How many digits, of the kind `digits`."]
        count [] Option<i64> => Rules::OPTIONAL,
        [" The key that ends them, of the kind `digits`."]
        terminated_by [] String => Rules::OPTIONAL,
    }
    []
}

impl Hint {
    /// Hints at an answer of this kind: `audio`, `digits`, `image`, `location` or `video`.
    pub fn new(kind: impl Into<HintType>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// Hints at this many digits.
    pub fn digits(count: i64) -> Self {
        Self { count: Some(count), ..Self::new("digits") }
    }

    /// Hints at digits up to this key, as `#`.
    pub fn digits_until(key: impl Into<String>) -> Self {
        Self { terminated_by: key.into(), ..Self::new("digits") }
    }
}

impl Field for Hint {
    fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    fn is_there_when_empty(&self) -> bool {
        true
    }

    /// Reports problems under the hint's own name, without the field's path, as the flow engine
    /// does, which reads a hint apart from its event: `unable to read hint: unknown type: 'smell'`.
    fn check(&self, _: &mut dyn FnMut() -> Path, report: &mut Report) {
        let Err(found) = self.validate() else { return };
        for problem in Invalid::from(found).problems() {
            report.append(Path::empty(), Error::new(format!("unable to read hint: {problem}")));
        }
    }
}
