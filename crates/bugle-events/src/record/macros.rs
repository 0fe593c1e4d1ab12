//! The macros that make records and event types.

/// Makes a record: an object of named fields that can stand in an event.
///
/// Each field has a type, which is a [`Field`](crate::Field), and [`Rules`](crate::Rules). A field
/// whose JSON name is not a name in Rust says `field as "name"`. The record can be read and written
/// with serde, keeps fields that it does not know, and is written back as it was read.
///
/// A record that needs exactly one of two fields ends with `exactly one of this, that`.
///
/// ```
/// use bugle_events::{Rules, record};
///
/// record! {
///     /// A customer who places orders.
///     pub struct Customer {
///         /// The customer's number.
///         number: String => Rules::REQUIRED,
///         /// The kind of customer, `guest` or `member`.
///         kind as "type": String => Rules::OPTIONAL,
///     }
/// }
///
/// let json = r#"{"number":"7","type":"guest","vip":true}"#;
/// let customer: Customer = serde_json::from_str(json)?;
/// assert_eq!(customer.kind, "guest");
/// assert_eq!(serde_json::to_string(&customer)?, json);
///
/// record! {
///     /// An address of a customer.
///     pub struct Address {
///         /// A telephone.
///         phone: String => Rules::OPTIONAL,
///         /// A mailbox.
///         mail: String => Rules::OPTIONAL,
///     }
///     exactly one of phone, mail
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! record {
    (
        $(#[$($meta:tt)*])*
        $vis:vis struct $Name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $json:literal)?: $Type:ty => $rules:expr
            ),*
            $(,)?
        }
        $(exactly one of $one:ident, $other:ident)?
    ) => {
        $crate::__record! {
            [None] [$(#[$($meta)*])*] $vis $Name
            { $([$($doc)*] $field [$($json)?] $Type => $rules,)* }
            [$($one, $other)?]
        }

        impl $crate::Field for $Name {
            fn is_blank(&self) -> bool {
                *self == Self::default()
            }

            fn is_there_when_empty(&self) -> bool {
                true
            }

            fn check(
                &self,
                path: &mut dyn FnMut() -> $crate::garde::error::Path,
                report: &mut $crate::garde::Report,
            ) {
                $crate::garde::Validate::validate_into(self, &(), path, report);
            }
        }
    };
}

/// Makes an event type: a record with a type name and the fields that every event has,
/// `created_on` and `step_uuid`.
///
/// ```
/// use bugle_events::{CreatedOn, EventType, Registry, Rules, event};
///
/// event! {
///     /// An order was placed.
///     pub struct OrderPlaced = "order_placed" {
///         /// The order's number.
///         order: String => Rules::REQUIRED,
///         /// The price, in cents.
///         cents: i64 => Rules::PLAIN,
///         /// The customer's remark.
///         note: String => Rules::OPTIONAL,
///     }
/// }
///
/// let mut registry = Registry::new();
/// registry.register::<OrderPlaced>()?;
///
/// let json = br#"{
///     "type": "order_placed",
///     "created_on": "2024-05-01T08:30:00Z",
///     "order": "A-7",
///     "cents": 950
/// }"#;
/// let event = registry.read_event(json)?;
/// let placed: &OrderPlaced = event.downcast_ref().unwrap();
/// assert_eq!((placed.order.as_str(), placed.cents), ("A-7", 950));
///
/// let new = OrderPlaced { order: "A-8".to_owned(), cents: 120, ..OrderPlaced::now() };
/// new.check()?;
/// assert!(new.created_on > placed.created_on);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! event {
    (
        $(#[$($meta:tt)*])*
        $vis:vis struct $Name:ident = $name:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $json:literal)?: $Type:ty => $rules:expr
            ),*
            $(,)?
        }
        $(exactly one of $one:ident, $other:ident)?
    ) => {
        $crate::__record! {
            [Some($name)] [$(#[$($meta)*])*] $vis $Name
            {
                [" When the event was created."]
                created_on [] $crate::CreatedOn => $crate::Rules::REQUIRED,
                [" The step in the path where the event occurred; empty when there is none."]
                step_uuid [] $crate::Uuid4 => $crate::Rules::OPTIONAL,
                $([$($doc)*] $field [$($json)?] $Type => $rules,)*
            }
            [$($one, $other)?]
        }

        impl $crate::EventType for $Name {
            const NAME: &'static str = $name;

            fn created_on(&self) -> $crate::CreatedOn {
                self.created_on
            }

            fn step_uuid(&self) -> ::core::option::Option<&str> {
                (!self.step_uuid.is_empty()).then_some(self.step_uuid.as_str())
            }

            fn set_step_uuid(&mut self, step: $crate::Uuid4) {
                self.step_uuid = step;
            }
        }

        impl $Name {
            /// Makes an event that was created now, with every other field empty.
            $vis fn now() -> Self {
                Self { created_on: $crate::CreatedOn::now(), ..::core::default::Default::default() }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $json:literal) => {
        $json
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    (
        [$type:expr] [$(#[$($meta:tt)*])*] $vis:vis $Name:ident
        { $([$($doc:literal)*] $field:ident [$($json:literal)?] $Type:ty => $rules:expr,)* }
        [$($one:ident, $other:ident)?]
    ) => {
        $(#[$($meta)*])*
        #[derive(Debug, Clone, Default, PartialEq)]
        $vis struct $Name {
            $($(#[doc = $doc])* pub $field: $Type,)*
            #[doc(hidden)]
            pub as_read: $crate::__private::AsRead,
        }

        impl $Name {
            /// The fields that this type does not know, by name. They are kept, and written back.
            $vis fn unknown_fields(
                &self,
            ) -> &::std::collections::BTreeMap<::std::string::String, $crate::Json> {
                $crate::__private::Record::as_read(self).extra()
            }

            /// The fields that this type does not know, by name, to be changed. Don't put in a name
            /// that it does know.
            $vis fn unknown_fields_mut(
                &mut self,
            ) -> &mut ::std::collections::BTreeMap<::std::string::String, $crate::Json> {
                $crate::__private::Record::as_read_mut(self).extra_mut()
            }
        }

        const _: () = {
            use $crate::__private as p;

            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            enum Place { $($field),* }

            impl p::Record for $Name {
                const TYPE: ::core::option::Option<&'static str> = $type;
                const FIELDS: usize = <[&str]>::len(&[$(stringify!($field)),*]);

                fn as_read(&self) -> &p::AsRead {
                    &self.as_read
                }

                fn as_read_mut(&mut self) -> &mut p::AsRead {
                    &mut self.as_read
                }

                fn read<'de, A: p::serde::de::MapAccess<'de>>(
                    &mut self,
                    name: &str,
                    map: &mut A,
                ) -> ::core::result::Result<bool, A::Error> {
                    match name {
                        $($crate::__name!($field $($json)?) => p::read_field(
                            &mut self.$field, &mut self.as_read, Place::$field as usize, map,
                        ),)*
                        _ => ::core::result::Result::Ok(false),
                    }
                }

                fn write<M: p::serde::ser::SerializeMap>(
                    &self,
                    map: &mut M,
                ) -> ::core::result::Result<(), M::Error> {
                    $(p::write_field(
                        &self.$field,
                        &self.as_read,
                        (Place::$field as usize, $crate::__name!($field $($json)?), $rules),
                        map,
                    )?;)*
                    ::core::result::Result::Ok(())
                }
            }

            impl p::serde::Serialize for $Name {
                fn serialize<S: p::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    p::serialize(self, serializer)
                }
            }

            impl<'de> p::serde::Deserialize<'de> for $Name {
                fn deserialize<D: p::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    p::deserialize(deserializer)
                }
            }

            impl $crate::garde::Validate for $Name {
                type Context = ();

                fn validate_into(
                    &self,
                    _context: &(),
                    parent: &mut dyn FnMut() -> $crate::garde::error::Path,
                    report: &mut $crate::garde::Report,
                ) {
                    $(p::check_field(
                        &self.$field,
                        &self.as_read,
                        (Place::$field as usize, $crate::__name!($field $($json)?), $rules),
                        parent,
                        report,
                    );)*
                    $(p::check_exactly_one(
                        (stringify!($one), &self.$one),
                        (stringify!($other), &self.$other),
                        parent,
                        report,
                    );)?
                }
            }

            impl $crate::schemars::JsonSchema for $Name {
                fn schema_name() -> ::std::borrow::Cow<'static, str> {
                    stringify!($Name).into()
                }

                fn schema_id() -> ::std::borrow::Cow<'static, str> {
                    concat!(module_path!(), "::", stringify!($Name)).into()
                }

                fn json_schema(
                    generator: &mut $crate::schemars::SchemaGenerator,
                ) -> $crate::schemars::Schema {
                    let fields = ::std::vec![$(p::FieldSchema::new::<$Type>(
                        generator,
                        $crate::__name!($field $($json)?),
                        $rules,
                        concat!($($doc, "\n"),*),
                    )),*];
                    let either = [$([stringify!($one), stringify!($other)])?];
                    p::record_schema::<Self>($crate::__doc!($(#[$($meta)*])*), fields, &either)
                }
            }
        };
    };
}

/// The documentation among attributes.
#[doc(hidden)]
#[macro_export]
macro_rules! __doc {
    ($(#[doc = $doc:literal])*) => {
        concat!($($doc, "\n"),*)
    };
    ($(#[$($meta:tt)*])*) => {
        ""
    };
}
