//! The JSON Schema of a record.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Field, Record, Rules};

/// A field's part in the schema of its record.
#[doc(hidden)]
#[derive(Debug)]
pub struct FieldSchema {
    name: &'static str,
    required: bool,
    schema: Schema,
}

impl FieldSchema {
    /// Makes the schema of a field of this type with these rules.
    #[doc(hidden)]
    pub fn new<T: Field>(
        generator: &mut SchemaGenerator,
        name: &'static str,
        rules: Rules,
        doc: &str,
    ) -> Self {
        let mut schema = if rules.required {
            generator.subschema_for::<T>()
        } else {
            // A null is read as nothing.
            generator.subschema_for::<Option<T>>()
        };
        if rules.required {
            T::require(&mut schema);
        }
        if rules.min_items > 0 {
            let list = schema.get("type") == Some(&json!("array"));
            let key = if list { "minItems" } else { "minProperties" };
            schema.insert(key.to_owned(), rules.min_items.into());
        }
        describe(&mut schema, doc);
        Self { name, required: rules.required, schema }
    }
}

/// Makes the schema of a record of these fields, where exactly one field of each pair must be
/// present. Other fields may stand beside them.
#[doc(hidden)]
pub fn record_schema<R: Record>(
    doc: &str,
    fields: Vec<FieldSchema>,
    either: &[[&'static str; 2]],
) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some(name) = R::TYPE {
        properties.insert("type".to_owned(), json!({ "const": name }));
        required.push(Value::from("type"));
    }
    for field in fields {
        if field.required {
            required.push(field.name.into());
        }
        properties.insert(field.name.to_owned(), field.schema.into());
    }
    let mut schema = json_schema!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    for pair in either {
        let given = pair.map(|name| {
            json!({
                "required": [name],
                "properties": { name: { "type": "string", "minLength": 1 } }
            })
        });
        schema.insert("oneOf".to_owned(), given.to_vec().into());
    }
    describe(&mut schema, doc);
    schema
}

/// Sets the schema's description to a documentation comment, its lines joined.
fn describe(schema: &mut Schema, doc: &str) {
    // What follows an empty line is for who reads the code.
    let lines = doc.trim().lines().map(str::trim).take_while(|line| !line.is_empty());
    let description = lines.collect::<Vec<_>>().join(" ");
    if !description.is_empty() {
        schema.insert("description".to_owned(), description.into());
    }
}
