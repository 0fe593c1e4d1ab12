//! An event whose type is known at run time only.

use std::any::Any;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{CreatedOn, EventType, Invalid, Uuid4};

/// An event of a registered type, as [`Registry::read_event`](crate::Registry::read_event) gives
/// it. It is written back as the JSON that it was read from.
pub struct AnyEvent(Box<dyn Erased>);

/// An event whose type is erased: the calls that need no knowledge of it.
trait Erased: Any + fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn created_on(&self) -> CreatedOn;
    fn step_uuid(&self) -> Option<&str>;
    fn set_step_uuid(&mut self, step: Uuid4);
    fn check(&self) -> Result<(), Invalid>;
    fn to_json(&self) -> serde_json::Result<Box<RawValue>>;
}

impl<E: EventType> Erased for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn created_on(&self) -> CreatedOn {
        EventType::created_on(self)
    }

    fn step_uuid(&self) -> Option<&str> {
        EventType::step_uuid(self)
    }

    fn set_step_uuid(&mut self, step: Uuid4) {
        EventType::set_step_uuid(self, step);
    }

    fn check(&self) -> Result<(), Invalid> {
        EventType::check(self)
    }

    fn to_json(&self) -> serde_json::Result<Box<RawValue>> {
        serde_json::value::to_raw_value(self)
    }
}

impl AnyEvent {
    /// Wraps an event of this type.
    pub fn new<E: EventType>(event: E) -> Self {
        Self(Box::new(event))
    }

    /// The name of its type.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// When it was created.
    pub fn created_on(&self) -> CreatedOn {
        self.0.created_on()
    }

    /// The step in the path where it occurred, when it has one.
    pub fn step_uuid(&self) -> Option<&str> {
        self.0.step_uuid()
    }

    /// Sets the step in the path where it occurred.
    pub fn set_step_uuid(&mut self, step: Uuid4) {
        self.0.set_step_uuid(step);
    }

    /// Checks it against the rules of its type.
    ///
    /// # Errors
    /// [`Invalid`] names every field that fails.
    pub fn check(&self) -> Result<(), Invalid> {
        self.0.check()
    }

    /// True when the event is of this type.
    pub fn is<E: EventType>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The event as its type, when it is of this one.
    pub fn downcast_ref<E: EventType>(&self) -> Option<&E> {
        let event: &dyn Any = &*self.0;
        event.downcast_ref()
    }

    /// The event as its type, to be changed, when it is of this one.
    pub fn downcast_mut<E: EventType>(&mut self) -> Option<&mut E> {
        let event: &mut dyn Any = &mut *self.0;
        event.downcast_mut()
    }

    /// Turns the event into its type; `None`, and the event is lost, when it is of another. Ask
    /// [`AnyEvent::is`] first where that matters.
    pub fn downcast<E: EventType>(self) -> Option<E> {
        let event: Box<dyn Any> = self.0;
        event.downcast().ok().map(|event| *event)
    }
}

impl fmt::Debug for AnyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for AnyEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_json().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}
