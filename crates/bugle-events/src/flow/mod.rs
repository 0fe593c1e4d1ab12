//! The 23 event types of the flow engine GoFlow, and the records within them.
//!
//! Each has the fields, the rules and the JSON form of GoFlow 0.36. The documentation beside a
//! field says what it may be, and so does the type's JSON Schema.

mod attempt;
mod call;
mod contact;
mod hint;
mod message;
mod reference;
mod run;

pub use call::{ResthookCalled, WebhookCalled};
pub use contact::{
    ContactFieldChanged, ContactGroupsChanged, ContactLanguageChanged, ContactNameChanged,
    ContactRefreshed, ContactTimezoneChanged, ContactUrnsChanged, EnvironmentRefreshed,
};
pub use hint::Hint;
pub use message::{
    BroadcastCreated, BroadcastTranslation, EmailCreated, IvrCreated, MsgCreated, MsgIn, MsgOut,
    MsgReceived, MsgWait, Templating,
};
pub use reference::{
    ChannelReference, ContactReference, FieldReference, FlowReference, GroupReference,
    LabelReference, TemplateReference, Value,
};
pub use run::{
    ErrorEvent, FlowEntered, InputLabelsAdded, RunExpired, RunResultChanged, SessionTriggered,
    WaitTimedOut,
};

use crate::Registry;

/// Makes a registry of the 23 types. Add yours to it.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    macro_rules! add {
        ($($Type:ident),* $(,)?) => { $(registry.add::<$Type>();)* };
    }
    add!(
        BroadcastCreated,
        ContactFieldChanged,
        ContactGroupsChanged,
        ContactLanguageChanged,
        ContactNameChanged,
        ContactRefreshed,
        ContactTimezoneChanged,
        ContactUrnsChanged,
        EmailCreated,
        EnvironmentRefreshed,
        ErrorEvent,
        FlowEntered,
        InputLabelsAdded,
        IvrCreated,
        MsgCreated,
        MsgReceived,
        MsgWait,
        ResthookCalled,
        RunExpired,
        RunResultChanged,
        SessionTriggered,
        WaitTimedOut,
        WebhookCalled,
    );
    registry
}
