//! Events of a flow's run.

use std::fmt;

use super::{ContactReference, FlowReference, GroupReference, LabelReference};
use crate::{Json, Rules, Urn, Uuid4, event};

event! {
    /// An error happened in a flow.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ErrorEvent};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "error",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "text": "invalid date format: '12th of October'"
    /// }"#)?;
    /// let error: &ErrorEvent = event.downcast_ref().unwrap();
    /// assert!(!error.fatal);
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ErrorEvent = "error" {
        /// The error's message.
        text: String => Rules::REQUIRED,
        /// True when the error ended the flow.
        fatal: bool => Rules::PLAIN,
    }
}

impl ErrorEvent {
    /// Makes the event of an error, or of a text, as of `format_args!`.
    pub fn new(error: impl fmt::Display) -> Self {
        Self { text: error.to_string(), ..Self::now() }
    }

    /// Makes the event of an error that ended the flow.
    pub fn fatal(error: impl fmt::Display) -> Self {
        Self { fatal: true, ..Self::new(error) }
    }
}

event! {
    /// A flow was entered from another one.
    ///
    /// ```
    /// # use bugle_events::flow::{self, FlowEntered};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "flow_entered",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "flow": {"uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a", "name": "Registration"},
    ///     "parent_run_uuid": "95eb96df-461b-4668-b168-727f8ceb13dd",
    ///     "terminal": false
    /// }"#)?;
    /// let entered: &FlowEntered = event.downcast_ref().unwrap();
    /// assert_eq!(entered.flow.name, "Registration");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct FlowEntered = "flow_entered" {
        /// The flow that was entered.
        flow: FlowReference => Rules::REQUIRED,
        /// The run that entered the flow; empty when there is none.
        parent_run_uuid: Uuid4 => Rules::PLAIN,
        /// True when the flow that it was entered from has ended.
        terminal: bool => Rules::PLAIN,
    }
}

impl FlowEntered {
    /// Makes the event: this flow was entered from that run.
    pub fn new(flow: FlowReference, parent_run_uuid: impl Into<Uuid4>, terminal: bool) -> Self {
        Self { flow, parent_run_uuid: parent_run_uuid.into(), terminal, ..Self::now() }
    }
}

event! {
    /// Labels were added to an input of the contact.
    ///
    /// ```
    /// # use bugle_events::flow::{self, InputLabelsAdded};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "input_labels_added",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "input_uuid": "4aef4050-1895-4c80-999a-70368317a4f5",
    ///     "labels": [{"uuid": "b7cf0d83-f1c9-411c-96fd-c511a4cfa86d", "name": "Spam"}]
    /// }"#)?;
    /// let added: &InputLabelsAdded = event.downcast_ref().unwrap();
    /// assert_eq!(added.labels[0].name, "Spam");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct InputLabelsAdded = "input_labels_added" {
        /// The UUID of the contact's input.
        input_uuid: Uuid4 => Rules::REQUIRED,
        /// The labels that were added.
        labels: Vec<LabelReference> => Rules::REQUIRED.min_items(1),
    }
}

impl InputLabelsAdded {
    /// Makes the event: these labels were added to that input.
    pub fn new(input_uuid: impl Into<Uuid4>, labels: Vec<LabelReference>) -> Self {
        Self { input_uuid: input_uuid.into(), labels, ..Self::now() }
    }
}

event! {
    /// A run has expired. The caller makes this event.
    ///
    /// ```
    /// # use bugle_events::flow::{self, RunExpired};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "run_expired",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "run_uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a"
    /// }"#)?;
    /// let expired: &RunExpired = event.downcast_ref().unwrap();
    /// assert_eq!(expired.run_uuid, "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct RunExpired = "run_expired" {
        /// The run.
        run_uuid: Uuid4 => Rules::REQUIRED,
    }
}

impl RunExpired {
    /// Makes the event: this run has expired.
    pub fn new(run_uuid: impl Into<Uuid4>) -> Self {
        Self { run_uuid: run_uuid.into(), ..Self::now() }
    }
}

event! {
    /// A result of a run was saved.
    ///
    /// ```
    /// # use bugle_events::flow::{self, RunResultChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "run_result_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "name": "Gender",
    ///     "value": "m",
    ///     "category": "Male",
    ///     "category_localized": "Homme",
    ///     "node_uuid": "b7cf0d83-f1c9-411c-96fd-c511a4cfa86d",
    ///     "input": "M"
    /// }"#)?;
    /// let changed: &RunResultChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.category_localized, "Homme");
    /// // A field that the type does not know is kept.
    /// assert!(changed.unknown_fields().contains_key("node_uuid"));
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct RunResultChanged = "run_result_changed" {
        /// The result's name.
        name: String => Rules::REQUIRED,
        /// Its value.
        value: String => Rules::PLAIN,
        /// The category that the value is in.
        category: String => Rules::PLAIN,
        /// The category's name in the contact's language.
        category_localized: String => Rules::OPTIONAL,
        /// The contact's input that gave the result.
        input: String => Rules::OPTIONAL,
        /// Further data of the result, of any form.
        extra: Json => Rules::OPTIONAL,
    }
}

impl RunResultChanged {
    /// Makes the event: this result was saved. A text that is missing is empty.
    pub fn new(
        name: impl Into<String>,
        value: impl Into<String>,
        category: impl Into<String>,
        category_localized: impl Into<String>,
        input: impl Into<String>,
        extra: Option<Json>,
    ) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            category: category.into(),
            category_localized: category_localized.into(),
            input: input.into(),
            extra: extra.unwrap_or_default(),
            ..Self::now()
        }
    }
}

event! {
    /// Other contacts are to be started in a flow.
    ///
    /// ```
    /// # use bugle_events::flow::{self, SessionTriggered};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "session_triggered",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "flow": {"uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a", "name": "Registration"},
    ///     "groups": [
    ///         {"uuid": "8f8e2cae-3c8d-4dce-9c4b-19514437e427", "name": "New contacts"}
    ///     ],
    ///     "run_summary": {
    ///         "uuid": "b7cf0d83-f1c9-411c-96fd-c511a4cfa86d",
    ///         "flow": {"uuid": "93c554a1-b90d-4892-b029-a2a87dec9b87", "name": "Other Flow"},
    ///         "contact": {
    ///             "uuid": "c59b0033-e748-4240-9d4c-e85eb6800151",
    ///             "name": "Bob",
    ///             "fields": {
    ///                 "state": {
    ///                     "value": "Azuay",
    ///                     "created_on": "2000-01-01T00:00:00.000000000-00:00"
    ///                 }
    ///             }
    ///         },
    ///         "results": {
    ///             "age": {
    ///                 "name": "Age",
    ///                 "value": "33",
    ///                 "node_uuid": "cd2be8c4-59bc-453c-8777-dec9a80043b8",
    ///                 "created_on": "2000-01-01T00:00:00.000000000-00:00"
    ///             }
    ///         }
    ///     }
    /// }"#)?;
    /// let triggered: &SessionTriggered = event.downcast_ref().unwrap();
    /// assert_eq!(triggered.groups[0].name, "New contacts");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct SessionTriggered = "session_triggered" {
        /// The flow.
        flow: FlowReference => Rules::REQUIRED,
        /// The addresses to start.
        urns: Vec<Urn> => Rules::OPTIONAL,
        /// The contacts to start.
        contacts: Vec<ContactReference> => Rules::OPTIONAL,
        /// The groups to start.
        groups: Vec<GroupReference> => Rules::OPTIONAL,
        /// True when a new contact is to be made and started.
        create_contact: bool => Rules::OPTIONAL,
        /// The run that starts them.
        run_summary: Json => Rules::PLAIN,
    }
}

impl SessionTriggered {
    /// Makes the event: these are to be started in that flow.
    pub fn new(
        flow: FlowReference,
        urns: Vec<Urn>,
        contacts: Vec<ContactReference>,
        groups: Vec<GroupReference>,
        create_contact: bool,
        run_summary: Json,
    ) -> Self {
        Self { flow, urns, contacts, groups, create_contact, run_summary, ..Self::now() }
    }
}

event! {
    /// A wait has timed out. The caller makes this event in place of the one that was waited for.
    ///
    /// ```
    /// # use bugle_events::flow::{self, WaitTimedOut};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "wait_timed_out",
    ///     "created_on": "2006-01-02T15:04:05Z"
    /// }"#)?;
    /// assert!(event.is::<WaitTimedOut>());
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct WaitTimedOut = "wait_timed_out" {}
}

impl WaitTimedOut {
    /// Makes the event: the wait is over.
    pub fn new() -> Self {
        Self::now()
    }
}
