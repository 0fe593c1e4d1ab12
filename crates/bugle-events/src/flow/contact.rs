//! Events about the contact, and about the environment that it is in.

use super::{FieldReference, GroupReference, Value};
use crate::{Json, Rules, Urn, event};

event! {
    /// A field of the contact was set, or cleared: its value is null then.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactFieldChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_field_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "field": {"key": "gender", "name": "Gender"},
    ///     "value": {"text": "Male"}
    /// }"#)?;
    /// let changed: &ContactFieldChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.value.as_ref().unwrap().text, "Male");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactFieldChanged = "contact_field_changed" {
        /// The field.
        field: FieldReference => Rules::REQUIRED,
        /// Its new value; none when it was cleared.
        value: Option<Value> => Rules::PLAIN,
    }
}

impl ContactFieldChanged {
    /// Makes the event: this field has this value now, or none.
    pub fn new(field: FieldReference, value: Option<Value>) -> Self {
        Self { field, value, ..Self::now() }
    }
}

event! {
    /// The contact joined groups, or left them.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactGroupsChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_groups_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "groups_added": [{"uuid": "b7cf0d83-f1c9-411c-96fd-c511a4cfa86d", "name": "Reporters"}],
    ///     "groups_removed": [
    ///         {"uuid": "1e1ce1e1-9288-4504-869e-022d1003c72a", "name": "Customers"}
    ///     ]
    /// }"#)?;
    /// let changed: &ContactGroupsChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.groups_added[0].name, "Reporters");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactGroupsChanged = "contact_groups_changed" {
        /// The groups that it joined.
        groups_added: Vec<GroupReference> => Rules::OPTIONAL,
        /// The groups that it left.
        groups_removed: Vec<GroupReference> => Rules::OPTIONAL,
    }
}

impl ContactGroupsChanged {
    /// Makes the event: the contact joined these groups and left those.
    pub fn new(groups_added: Vec<GroupReference>, groups_removed: Vec<GroupReference>) -> Self {
        Self { groups_added, groups_removed, ..Self::now() }
    }
}

event! {
    /// The contact's language was changed.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactLanguageChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_language_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "language": "eng"
    /// }"#)?;
    /// let changed: &ContactLanguageChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.language, "eng");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactLanguageChanged = "contact_language_changed" {
        /// The language's code in ISO 639-3; empty when it was cleared.
        language: String => Rules::PLAIN,
    }
}

impl ContactLanguageChanged {
    /// Makes the event: this is the contact's language now.
    pub fn new(language: impl Into<String>) -> Self {
        Self { language: language.into(), ..Self::now() }
    }
}

event! {
    /// The contact's name was changed.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactNameChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_name_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "name": "Bob Smith"
    /// }"#)?;
    /// let changed: &ContactNameChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.name, "Bob Smith");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactNameChanged = "contact_name_changed" {
        /// The name; empty when it was cleared.
        name: String => Rules::PLAIN,
    }
}

impl ContactNameChanged {
    /// Makes the event: this is the contact's name now.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::now() }
    }
}

event! {
    /// The contact differs from the one that the flow knew when it last ran.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactRefreshed};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_refreshed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "contact": {
    ///         "uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a",
    ///         "name": "Bob",
    ///         "urns": ["tel:+11231234567"]
    ///     }
    /// }"#)?;
    /// let refreshed: &ContactRefreshed = event.downcast_ref().unwrap();
    /// assert!(refreshed.contact.as_str().contains("Bob"));
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactRefreshed = "contact_refreshed" {
        /// The whole contact, as it is now.
        contact: Json => Rules::PLAIN,
    }
}

impl ContactRefreshed {
    /// Makes the event: this is the contact now.
    pub fn new(contact: Json) -> Self {
        Self { contact, ..Self::now() }
    }
}

event! {
    /// The contact's timezone was changed.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactTimezoneChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_timezone_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "timezone": "Africa/Kigali"
    /// }"#)?;
    /// let changed: &ContactTimezoneChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.timezone, "Africa/Kigali");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactTimezoneChanged = "contact_timezone_changed" {
        /// The timezone's name in the IANA database; empty when it was cleared.
        timezone: String => Rules::PLAIN,
    }
}

impl ContactTimezoneChanged {
    /// Makes the event: this is the contact's timezone now; `None` clears it.
    pub fn new(timezone: Option<&str>) -> Self {
        Self { timezone: timezone.unwrap_or_default().to_owned(), ..Self::now() }
    }
}

event! {
    /// The contact's addresses were changed.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ContactUrnsChanged};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "contact_urns_changed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "urns": [
    ///         "tel:+12345678900",
    ///         "twitter:bob"
    ///     ]
    /// }"#)?;
    /// let changed: &ContactUrnsChanged = event.downcast_ref().unwrap();
    /// assert_eq!(changed.urns[1].path(), "bob");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ContactUrnsChanged = "contact_urns_changed" {
        /// All its addresses.
        urns: Vec<Urn> => Rules::PLAIN,
    }
}

impl ContactUrnsChanged {
    /// Makes the event: these are the contact's addresses now.
    pub fn new(urns: Vec<Urn>) -> Self {
        Self { urns, ..Self::now() }
    }
}

event! {
    /// The session's environment was changed by the caller.
    ///
    /// ```
    /// # use bugle_events::flow::{self, EnvironmentRefreshed};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "environment_refreshed",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "environment": {
    ///         "date_format": "YYYY-MM-DD",
    ///         "time_format": "hh:mm",
    ///         "timezone": "Africa/Kigali",
    ///         "default_language": "eng",
    ///         "allowed_languages": ["eng", "fra"]
    ///     }
    /// }"#)?;
    /// let refreshed: &EnvironmentRefreshed = event.downcast_ref().unwrap();
    /// assert!(refreshed.environment.as_str().contains("YYYY-MM-DD"));
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct EnvironmentRefreshed = "environment_refreshed" {
        /// The whole environment, as it is now.
        environment: Json => Rules::PLAIN,
    }
}

impl EnvironmentRefreshed {
    /// Makes the event: this is the environment now.
    pub fn new(environment: Json) -> Self {
        Self { environment, ..Self::now() }
    }
}
