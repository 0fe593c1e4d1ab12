//! Event types of a service's own: a name, fields, rules and a JSON Schema, and a runtime that
//! accepts no other events.
//!
//! ```sh
//! cargo run -p bugle-examples --example typed_events
//! ```
//!
//! It prints:
//!
//! ```text
//! -- read and checked
//! order A-7: 2 lines, and it is kept that "gift" is true
//! refused: field 'order' is required, field 'lines[0].article' is required
//! refused: unknown type: 'order.payed'
//! -- emitted under its type's name
//! audit got order.placed: A-8
//! refused: field 'lines' must have a minimum of 1 items
//! refused: no event type 'order.payed' is registered, and this runtime accepts no other: …
//! -- its JSON Schema
//! required: type, created_on, order, lines
//! ```

use std::error::Error;
use std::sync::Arc;

use bugle::events::{EmitEvent as _, Registry, RegistryCheck, Rules, event, record};
use bugle::{Event, HandlerConfig, Runtime};
use serde_json::{Value, json};

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
        /// The order's number.
        order: String => Rules::REQUIRED,
        /// The lines of the order.
        lines: Vec<Line> => Rules::REQUIRED.min_items(1),
        /// The customer's remark.
        note: String => Rules::OPTIONAL,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.register::<OrderPlaced>()?;

    println!("-- read and checked");
    let lines = json!([{"article": "tea", "count": 2}, {"article": "cup", "count": 1}]);
    let placed = json!({
        "type": "order.placed", "created_on": "2024-05-01T08:30:00.000000001Z",
        "order": "A-7", "lines": lines, "gift": true
    });
    let event = registry.read_event(placed.to_string().as_bytes())?;
    // Every field is written back, also those that the type does not know.
    assert_eq!(serde_json::to_value(&event)?, placed);
    if let Some(order) = event.downcast_ref::<OrderPlaced>() {
        let gift = order.unknown_fields().get("gift").map(ToString::to_string).unwrap_or_default();
        let count = order.lines.len();
        println!("order {}: {count} lines, and it is kept that \"gift\" is {gift}", order.order);
    }
    for bad in [
        json!({"type": "order.placed", "created_on": "2024-05-01T08:30:00Z", "lines": [{}]}),
        json!({"type": "order.payed"}),
    ] {
        if let Err(error) = registry.read_event(bad.to_string().as_bytes()) {
            println!("refused: {error}");
        }
    }

    println!("-- emitted under its type's name");
    let schema = registry.schema("order.placed");
    let check = RegistryCheck::new(registry).registered_only();
    let runtime = Runtime::builder().event_check(check).start().await?;
    let audit = |event: Arc<Event>| async move {
        let order: OrderPlaced = serde_json::from_slice(&event.payload)?;
        println!("audit got {}: {}", event.name, order.order);
        Ok::<(), serde_json::Error>(())
    };
    runtime.attach_handler("audit", [">"], audit, HandlerConfig::default()).await?;
    let line = Line { article: "tea".to_owned(), count: 1, ..Line::default() };
    let good = OrderPlaced { order: "A-8".to_owned(), lines: vec![line], ..OrderPlaced::now() };
    runtime.emit_event(&good).await?.settled().await;
    let empty = OrderPlaced { lines: vec![], ..good.clone() };
    for refused in
        [runtime.emit_event(&empty).await.err(), runtime.emit("order.payed", &good).await.err()]
    {
        println!("refused: {}", refused.ok_or("it was accepted")?);
    }
    runtime.shutdown(std::time::Duration::from_secs(5)).await;

    println!("-- its JSON Schema");
    let schema = schema.ok_or("it is registered")?;
    let required = schema.get("required").and_then(Value::as_array).ok_or("it asks for fields")?;
    let names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    println!("required: {}", names.join(", "));
    Ok(())
}
