//! Messages: received, to be sent, and waited for.

use std::collections::BTreeMap;

use super::{ChannelReference, ContactReference, GroupReference, Hint, TemplateReference};
use crate::{Attachment, Rules, Urn, Uuid4, event, record};

record! {
    /// A message that a contact sent.
    pub struct MsgIn {
        /// The message's UUID.
        uuid: String => Rules::PLAIN,
        /// The message's number in the system that stores the messages.
        id: i64 => Rules::OPTIONAL,
        /// The address that the message came from.
        urn: Urn => Rules::OPTIONAL,
        /// The channel that the message came through.
        channel: Option<ChannelReference> => Rules::OPTIONAL,
        /// Its text.
        text: String => Rules::PLAIN,
        /// The files that came with the message.
        attachments: Vec<Attachment> => Rules::OPTIONAL,
        /// Its id in the channel's own system.
        external_id: String => Rules::OPTIONAL,
    }
}

record! {
    /// A message to a contact.
    pub struct MsgOut {
        /// The message's UUID.
        uuid: String => Rules::PLAIN,
        /// The message's number in the system that stores the messages.
        id: i64 => Rules::OPTIONAL,
        /// The address that the message goes to.
        urn: Urn => Rules::OPTIONAL,
        /// The channel that the message goes through.
        channel: Option<ChannelReference> => Rules::OPTIONAL,
        /// Its text.
        text: String => Rules::PLAIN,
        /// The files that go with the message.
        attachments: Vec<Attachment> => Rules::OPTIONAL,
        /// The replies that the contact may choose from.
        quick_replies: Vec<String> => Rules::OPTIONAL,
        /// The template that the message is made from.
        templating: Option<Templating> => Rules::OPTIONAL,
    }
}

record! {
    /// The template that a message is made from.
    pub struct Templating {
        /// The template.
        template: TemplateReference => Rules::PLAIN,
        /// The language of the translation.
        language: String => Rules::PLAIN,
        /// The values of the template's variables, in their order.
        variables: Vec<String> => Rules::PLAIN,
    }
}

record! {
    /// A broadcast's content in one language.
    pub struct BroadcastTranslation {
        /// Its text.
        text: String => Rules::PLAIN,
        /// The files that go with the message.
        attachments: Vec<Attachment> => Rules::OPTIONAL,
        /// The replies that the contacts may choose from.
        quick_replies: Vec<String> => Rules::OPTIONAL,
    }
}

impl MsgIn {
    /// Makes a message of this text.
    pub fn new(
        uuid: impl Into<String>,
        urn: impl Into<Urn>,
        channel: Option<ChannelReference>,
        text: impl Into<String>,
        attachments: Vec<Attachment>,
    ) -> Self {
        let (uuid, urn, text) = (uuid.into(), urn.into(), text.into());
        Self { uuid, urn, channel, text, attachments, ..Self::default() }
    }
}

impl MsgOut {
    /// Makes a message of this text, with a UUID of its own.
    pub fn new(
        urn: impl Into<Urn>,
        channel: Option<ChannelReference>,
        text: impl Into<String>,
        attachments: Vec<Attachment>,
        quick_replies: Vec<String>,
    ) -> Self {
        let uuid = Uuid4::random().to_string();
        let (urn, text) = (urn.into(), text.into());
        Self { uuid, urn, channel, text, attachments, quick_replies, ..Self::default() }
    }
}

impl BroadcastTranslation {
    /// Makes a translation of this text, without files or replies.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

event! {
    /// A message is to be sent to other contacts than the one in the flow.
    ///
    /// ```
    /// # use bugle_events::flow::{self, BroadcastCreated};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "broadcast_created",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "translations": {
    ///         "eng": {
    ///             "text": "hi, what's up",
    ///             "attachments": [],
    ///             "quick_replies": ["All good", "Got 99 problems"]
    ///         },
    ///         "spa": {
    ///             "text": "Que pasa",
    ///             "attachments": [],
    ///             "quick_replies": ["Todo bien", "Tengo 99 problemas"]
    ///         }
    ///     },
    ///     "base_language": "eng",
    ///     "urns": ["tel:+12065551212"],
    ///     "contacts": [{"uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a", "name": "Bob"}]
    /// }"#)?;
    /// let created: &BroadcastCreated = event.downcast_ref().unwrap();
    /// assert_eq!(created.translations["spa"].text, "Que pasa");
    /// assert_eq!(created.urns[0].path(), "+12065551212");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct BroadcastCreated = "broadcast_created" {
        /// The content, by language.
        translations: BTreeMap<String, BroadcastTranslation> => Rules::REQUIRED.min_items(1),
        /// The language for contacts whose own has no translation.
        base_language: String => Rules::REQUIRED,
        /// The addresses that the broadcast goes to.
        urns: Vec<Urn> => Rules::OPTIONAL,
        /// The contacts that the broadcast goes to.
        contacts: Vec<ContactReference> => Rules::OPTIONAL,
        /// The groups that the broadcast goes to.
        groups: Vec<GroupReference> => Rules::OPTIONAL,
    }
}

impl BroadcastCreated {
    /// Makes the event: a broadcast to these recipients.
    pub fn new(
        translations: BTreeMap<String, BroadcastTranslation>,
        base_language: impl Into<String>,
        urns: Vec<Urn>,
        contacts: Vec<ContactReference>,
        groups: Vec<GroupReference>,
    ) -> Self {
        let base_language = base_language.into();
        Self { translations, base_language, urns, contacts, groups, ..Self::now() }
    }
}

event! {
    /// An email is to be sent.
    ///
    /// ```
    /// # use bugle_events::flow::{self, EmailCreated};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "email_created",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "addresses": ["foo@bar.com"],
    ///     "subject": "Your activation token",
    ///     "body": "Your activation token is AAFFKKEE"
    /// }"#)?;
    /// let created: &EmailCreated = event.downcast_ref().unwrap();
    /// assert_eq!(created.subject, "Your activation token");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct EmailCreated = "email_created" {
        /// The addresses that the email goes to.
        addresses: Vec<String> => Rules::REQUIRED.min_items(1),
        /// The subject.
        subject: String => Rules::REQUIRED,
        /// The text.
        body: String => Rules::PLAIN,
    }
}

impl EmailCreated {
    /// Makes the event: an email to these addresses.
    pub fn new(
        addresses: Vec<String>,
        subject: impl Into<String>,
        body: impl Into<String>,
    ) -> Self {
        Self { addresses, subject: subject.into(), body: body.into(), ..Self::now() }
    }
}

event! {
    /// A message is to be played to the contact, on the phone.
    ///
    /// ```
    /// # use bugle_events::flow::{self, IvrCreated};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "ivr_created",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "msg": {
    ///         "uuid": "2d611e17-fb22-457f-b802-b8f7ec5cda5b",
    ///         "channel": {"uuid": "61602f3e-f603-4c70-8a8f-c477505bf4bf", "name": "Twilio"},
    ///         "urn": "tel:+12065551212",
    ///         "text": "hi there",
    ///         "attachments": ["audio:https://s3.amazon.com/mybucket/attachment.m4a"]
    ///     }
    /// }"#)?;
    /// let created: &IvrCreated = event.downcast_ref().unwrap();
    /// assert_eq!(created.msg.attachments[0].content_type(), "audio");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct IvrCreated = "ivr_created" {
        /// The message.
        msg: MsgOut => Rules::REQUIRED,
    }
}

impl IvrCreated {
    /// Makes the event: this message is to be played.
    pub fn new(msg: MsgOut) -> Self {
        Self { msg, ..Self::now() }
    }
}

event! {
    /// A message is to be sent to the contact in the flow.
    ///
    /// ```
    /// # use bugle_events::flow::{self, MsgCreated};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "msg_created",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "msg": {
    ///         "uuid": "2d611e17-fb22-457f-b802-b8f7ec5cda5b",
    ///         "channel": {"uuid": "61602f3e-f603-4c70-8a8f-c477505bf4bf", "name": "Twilio"},
    ///         "urn": "tel:+12065551212",
    ///         "text": "hi there",
    ///         "attachments": ["image/jpeg:https://s3.amazon.com/mybucket/attachment.jpg"]
    ///     }
    /// }"#)?;
    /// let created: &MsgCreated = event.downcast_ref().unwrap();
    /// assert_eq!(created.msg.text, "hi there");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct MsgCreated = "msg_created" {
        /// The message.
        msg: MsgOut => Rules::REQUIRED,
    }
}

impl MsgCreated {
    /// Makes the event: this message is to be sent.
    pub fn new(msg: MsgOut) -> Self {
        Self { msg, ..Self::now() }
    }
}

event! {
    /// A message was received from the contact. The caller makes this event, and the flow goes on.
    ///
    /// ```
    /// # use bugle_events::flow::{self, MsgReceived};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "msg_received",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "msg": {
    ///         "uuid": "2d611e17-fb22-457f-b802-b8f7ec5cda5b",
    ///         "channel": {"uuid": "61602f3e-f603-4c70-8a8f-c477505bf4bf", "name": "Twilio"},
    ///         "urn": "tel:+12065551212",
    ///         "text": "hi there",
    ///         "attachments": ["https://s3.amazon.com/mybucket/attachment.jpg"]
    ///     }
    /// }"#)?;
    /// let received: &MsgReceived = event.downcast_ref().unwrap();
    /// assert_eq!(received.msg.urn.scheme(), "tel");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct MsgReceived = "msg_received" {
        /// The message.
        msg: MsgIn => Rules::REQUIRED,
    }
}

impl MsgReceived {
    /// Makes the event: this message was received.
    pub fn new(msg: MsgIn) -> Self {
        Self { msg, ..Self::now() }
    }
}

event! {
    /// The flow waits for a message. After the timeout, if any, the caller resumes the flow.
    ///
    /// ```
    /// # use bugle_events::flow::{self, MsgWait};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "msg_wait",
    ///     "created_on": "2019-01-02T15:04:05Z",
    ///     "timeout_seconds": 300,
    ///     "hint": {
    ///         "type": "image"
    ///     }
    /// }"#)?;
    /// let wait: &MsgWait = event.downcast_ref().unwrap();
    /// assert_eq!(wait.timeout_seconds, Some(300));
    /// assert_eq!(wait.hint.as_ref().unwrap().kind, "image");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct MsgWait = "msg_wait" {
        /// The timeout, in seconds; none when it waits without end.
        timeout_seconds: Option<i64> => Rules::OPTIONAL,
        /// The kind of answer that the flow waits for.
        hint: Option<Hint> => Rules::OPTIONAL,
    }
}

impl MsgWait {
    /// Makes the event: a wait with this timeout in seconds, for an answer of this kind.
    pub fn new(timeout_seconds: Option<i64>, hint: Option<Hint>) -> Self {
        Self { timeout_seconds, hint, ..Self::now() }
    }
}
