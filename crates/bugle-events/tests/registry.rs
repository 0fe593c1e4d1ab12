//! Event types of one's own beside the flow engine's.

#![allow(clippy::unwrap_used)]

use bugle_events::{
    BaseEvent, CreatedOn, EventType, RegisterError, Registry, Rules, Uuid4, event, flow, record,
    rules,
};

record! {
    /// A line of an order.
    pub struct Line {
        /// The article's number.
        article: String => Rules::REQUIRED,
        /// The number of pieces.
        count: u32 => Rules::PLAIN,
    }
}

event! {
    /// An order was placed.
    pub struct OrderPlaced = "order.placed" {
        /// Its lines.
        lines: Vec<Line> => Rules::REQUIRED.min_items(1),
    }
}

event! {
    /// Another type under a name that is taken.
    struct Impostor = "msg_wait" {}
}

event! {
    /// A type whose name can't be emitted.
    struct Unnamed = "no name" {}
}

#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema, garde::Validate)]
struct UserInvited {
    #[serde(flatten)]
    #[garde(dive)]
    base: BaseEvent,
    #[serde(default)]
    #[garde(custom(rules::required))]
    email: String,
    #[serde(default)]
    #[garde(range(max = 9))]
    level: u8,
    #[serde(default)]
    #[garde(custom(rules::min_items(2)))]
    roles: Vec<String>,
}

impl EventType for UserInvited {
    const NAME: &'static str = "user.invited";

    fn created_on(&self) -> CreatedOn {
        self.base.created_on
    }

    fn step_uuid(&self) -> Option<&str> {
        self.base.step_uuid.as_deref()
    }

    fn set_step_uuid(&mut self, step: Uuid4) {
        self.base.step_uuid = Some(step);
    }
}

#[test]
fn the_set_is_open() {
    let mut registry = flow::registry();
    registry.register::<OrderPlaced>().unwrap().register::<UserInvited>().unwrap();
    assert_eq!(registry.names().count(), 25);
    assert!(registry.contains("order.placed") && registry.contains("msg_wait"));

    let json = concat!(
        r#"{"type":"order.placed","created_on":"2024-05-01T08:30:00Z","#,
        r#""lines":[{"article":"a","count":2}],"x":1}"#
    );
    let event = registry.read_event(json.as_bytes()).unwrap();
    assert_eq!(event.downcast_ref::<OrderPlaced>().unwrap().lines[0].count, 2);
    assert_eq!(serde_json::to_string(&event).unwrap(), json);

    let broken = json.replace("\"a\"", "\"\"");
    let error = registry.read_event(broken.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "field 'lines[0].article' is required");
}

#[test]
fn a_name_is_taken_once_and_must_be_one_that_can_be_emitted() {
    let mut registry = flow::registry();
    let taken = registry.register::<Impostor>().unwrap_err();
    assert_eq!(taken, RegisterError::Duplicate { name: "msg_wait" });
    assert!(taken.to_string().contains("'msg_wait' is registered already"));
    assert!(matches!(registry.register::<Unnamed>(), Err(RegisterError::Name(_))));
    assert!(
        registry.read_event(br#"{"type":"msg_wait","created_on":"2006-01-02T15:04:05Z"}"#).is_ok()
    );
}

#[test]
fn a_derived_type_has_the_same_words() {
    let mut registry = Registry::new();
    registry.register::<UserInvited>().unwrap();
    let error = registry
        .read_event(br#"{"type":"user.invited","step_uuid":"x","roles":["a"],"level":10}"#)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "field 'created_on' is required, field 'step_uuid' must be a valid UUID4, \
         field 'email' is required, field 'level' greater than 9, \
         field 'roles' must have a minimum of 2 items"
    );
    let schema = registry.schema("user.invited").unwrap();
    assert!(schema.get("properties").unwrap().get("created_on").is_some());
}

#[test]
fn a_schema_tells_what_the_macro_was_told() {
    let mut registry = Registry::new();
    registry.register::<OrderPlaced>().unwrap();
    let schema = registry.schema("order.placed").unwrap().to_value();
    assert_eq!(schema["description"], "An order was placed.");
    assert_eq!(schema["properties"]["type"]["const"], "order.placed");
    assert_eq!(schema["properties"]["lines"]["minItems"], 1);
    assert_eq!(schema["required"], serde_json::json!(["type", "created_on", "lines"]));
    assert_eq!(schema["$defs"]["Line"]["required"], serde_json::json!(["article"]));
}
