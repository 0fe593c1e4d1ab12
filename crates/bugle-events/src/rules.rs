//! The rules of event types, for types that derive [`garde::Validate`]:
//! `#[garde(custom(rules::required))]`.

use garde::{Error, Report};

use crate::record::Field;

/// Demands that the field is not empty: "is required".
///
/// # Errors
/// Fails when it is empty.
pub fn required<T: Field>(value: &T, _context: &()) -> garde::Result {
    if value.is_blank() { Err(Error::new("is required")) } else { Ok(()) }
}

/// Demands what the field's own type does, unless the field is empty: that a
/// [`Uuid4`](crate::Uuid4) is valid, and so on.
///
/// # Errors
/// Fails when the value breaks a rule of its type.
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

/// Demands at least this many items in the list or map: `#[garde(custom(rules::min_items(1)))]`.
pub fn min_items<T: Field>(least: usize) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, _| {
        if value.items().is_some_and(|items| items < least) {
            return Err(Error::new(format!("must have a minimum of {least} items")));
        }
        Ok(())
    }
}
