//! Rules in the words of the event types, for types that derive [`garde::Validate`]:
//! `#[garde(custom(rules::required))]`.

use garde::{Error, Report};

use crate::record::Field;

/// The field must not be empty: "is required".
///
/// # Errors
/// When it is.
pub fn required<T: Field>(value: &T, _context: &()) -> garde::Result {
    if value.is_blank() { Err(Error::new("is required")) } else { Ok(()) }
}

/// What the field's own type asks of it, unless it is empty: a [`Uuid4`](crate::Uuid4) is a valid
/// one.
///
/// # Errors
/// When it is not.
pub fn valid<T: Field>(value: &T, _context: &()) -> garde::Result {
    if value.is_blank() {
        return Ok(());
    }
    let mut report = Report::new();
    value.check(&mut garde::Path::empty, &mut report);
    match report.into_inner().into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// The list or map has at least this many items: `#[garde(custom(rules::min_items(1)))]`.
pub fn min_items<T: Field>(least: usize) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, _| {
        if value.items().is_some_and(|items| items < least) {
            return Err(Error::new(format!("must have a minimum of {least} items")));
        }
        Ok(())
    }
}
