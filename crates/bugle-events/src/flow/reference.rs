//! References to the objects of a flow: an id, and a name for people.

use crate::{Json, Rules, Uuid, Uuid4, record};

record! {
    /// A reference to a channel.
    pub struct ChannelReference {
        /// The channel's UUID, of any version.
        uuid: Uuid => Rules::REQUIRED,
        /// The channel's name.
        name: String => Rules::PLAIN,
    }
}

record! {
    /// A reference to a contact.
    pub struct ContactReference {
        /// The contact's UUID.
        uuid: Uuid4 => Rules::REQUIRED,
        /// The contact's name.
        name: String => Rules::PLAIN,
    }
}

record! {
    /// A reference to a flow.
    pub struct FlowReference {
        /// The flow's UUID.
        uuid: Uuid4 => Rules::REQUIRED,
        /// The flow's name.
        name: String => Rules::PLAIN,
    }
}

record! {
    /// A reference to a group: either by its UUID, or by an expression that gives its name.
    pub struct GroupReference {
        /// The group's UUID.
        uuid: Uuid4 => Rules::OPTIONAL,
        /// The group's name.
        name: String => Rules::OPTIONAL,
        /// An expression whose value is the group's name.
        name_match: String => Rules::OPTIONAL,
    }
    exactly one of uuid, name_match
}

record! {
    /// A reference to a label: either by its UUID, or by an expression that gives its name.
    pub struct LabelReference {
        /// The label's UUID.
        uuid: Uuid4 => Rules::OPTIONAL,
        /// The label's name.
        name: String => Rules::OPTIONAL,
        /// An expression whose value is the label's name.
        name_match: String => Rules::OPTIONAL,
    }
    exactly one of uuid, name_match
}

record! {
    /// A reference to a contact field.
    pub struct FieldReference {
        /// The field's key.
        key: String => Rules::REQUIRED,
        /// The field's name.
        name: String => Rules::PLAIN,
    }
}

record! {
    /// A reference to a message template.
    pub struct TemplateReference {
        /// The template's UUID, of any version.
        uuid: Uuid => Rules::REQUIRED,
        /// The template's name.
        name: String => Rules::PLAIN,
    }
}

macro_rules! constructors {
    ($($Name:ident($id:ident: $Id:ty)),*) => {$(
        impl $Name {
            /// Makes a reference by id and name.
            pub fn new($id: impl Into<$Id>, name: impl Into<String>) -> Self {
                Self { $id: $id.into(), name: name.into(), ..Self::default() }
            }
        }
    )*};
}

constructors!(
    ChannelReference(uuid: Uuid),
    ContactReference(uuid: Uuid4),
    FlowReference(uuid: Uuid4),
    GroupReference(uuid: Uuid4),
    LabelReference(uuid: Uuid4),
    FieldReference(key: String),
    TemplateReference(uuid: Uuid)
);

macro_rules! variable {
    ($($Name:ident),*) => {$(
        impl $Name {
            /// Makes a reference by an expression that gives the name, as
            /// `@contact.fields.district`. The name is known only when the expression is evaluated.
            pub fn variable(name_match: impl Into<String>) -> Self {
                Self { name_match: name_match.into(), ..Self::default() }
            }

            /// True when the reference is by an expression, not by id.
            pub fn is_variable(&self) -> bool {
                self.uuid.is_empty()
            }
        }
    )*};
}

variable!(GroupReference, LabelReference);

record! {
    /// The value of a contact field: the text that was set, and its readings as other types.
    pub struct Value {
        /// The text that was set.
        text: String => Rules::REQUIRED,
        /// The text read as a date and time.
        datetime: String => Rules::OPTIONAL,
        /// The text read as a number, with all its digits.
        number: Json => Rules::OPTIONAL,
        /// The path of the state that the text names.
        state: String => Rules::OPTIONAL,
        /// The path of the district that the text names.
        district: String => Rules::OPTIONAL,
        /// The path of the ward that the text names.
        ward: String => Rules::OPTIONAL,
    }
}

impl Value {
    /// Makes a value that is text and has no other reading.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}
