//! Names of tables, quoted so that any name is safe.

use std::fmt;
use std::str::FromStr;

/// The longest identifier that PostgreSQL keeps whole, in bytes.
const MAX_IDENTIFIER: usize = 63;

/// A table's name, with or without its schema: `members`, `shop.invoices`, `"Order Lines"`.
///
/// A name is taken as it is written: `Members` is not `members`. A part that has a dot or a quote
/// stands between double quotes, in which a quote is doubled. Without a schema, the connection's
/// `search_path` decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    schema: Option<String>,
    name: String,
}

/// The reason why a text is not a table's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a table: {rule}")]
#[non_exhaustive]
pub struct TableNameError {
    /// The text that was given.
    pub text: String,
    /// The rule that the text breaks.
    pub rule: &'static str,
}

impl TableName {
    /// Reads a name, or a schema and a name.
    ///
    /// # Errors
    /// [`TableNameError`] says which rule the text breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TableNameError> {
        let text = text.as_ref();
        let wrong = |rule| TableNameError { text: text.to_owned(), rule };
        let mut parts = parts(text).map_err(wrong)?;
        let name = parts.pop().ok_or_else(|| wrong("it is empty"))?;
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(wrong("it has at most a schema and a name, as shop.invoices"));
        }
        Ok(Self { schema, name })
    }

    /// Makes a name of ours, which follows the rules, without a schema.
    pub(crate) fn plain(name: &str) -> Self {
        Self { schema: None, name: name.to_owned() }
    }

    /// The schema, when one was given.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table's own name, without its schema.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names a table of the same schema, whose name is this one with a suffix.
    pub(crate) fn beside(&self, suffix: &str) -> Self {
        Self { schema: self.schema.clone(), name: format!("{}{suffix}", self.name) }
    }

    /// Writes the name as SQL has it: each part between quotes.
    pub(crate) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.name)),
            None => identifier(&self.name),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &str| match text.contains(['.', '"', ' ', ',']) {
            true => identifier(text),
            false => text.to_owned(),
        };
        if let Some(schema) = &self.schema {
            write!(f, "{}.", part(schema))?;
        }
        f.write_str(&part(&self.name))
    }
}

impl FromStr for TableName {
    type Err = TableNameError;
    fn from_str(text: &str) -> Result<Self, TableNameError> {
        Self::new(text)
    }
}

/// Writes an identifier as SQL has it, whatever is in it.
pub(crate) fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Writes a text as an SQL literal, whatever is in it.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// Splits a text at the dots that stand outside of quotes.
fn parts(text: &str) -> Result<Vec<String>, &'static str> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(part) = parts.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                part.push('"');
            }
            '"' if quoted || part.is_empty() => quoted = !quoted,
            '"' => return Err("a quote stands at the start and the end of a part"),
            '.' if !quoted => parts.push(String::new()),
            '\0' => return Err("it has no zero character"),
            other => part.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed");
    }
    if parts.iter().any(String::is_empty) {
        return Err("neither the schema nor the name is empty");
    }
    if parts.iter().any(|part| part.len() > MAX_IDENTIFIER) {
        return Err("PostgreSQL keeps 63 bytes of a name");
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_quoted() {
        for (text, quoted) in [
            ("members", r#""members""#),
            ("shop.invoices", r#""shop"."invoices""#),
            ("Members", r#""Members""#),
            (r#""we.ird"."T""T""#, r#""we.ird"."T""T""#),
            ("a; drop table b", r#""a; drop table b""#),
            ("öl", r#""öl""#),
        ] {
            let name = TableName::new(text).map(|name| name.quoted());
            assert_eq!(name, Ok(quoted.to_owned()), "{text}");
        }
        for bad in ["", ".", "a.", ".a", "a.b.c", r#""a"#, r#"a"b"#, "a\0", &"x".repeat(64)] {
            assert!(TableName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_shown_as_it_is_read() {
        for text in ["members", "shop.invoices", r#""we.ird"."T""T""#, r#""Order Lines""#] {
            let name = TableName::new(text);
            assert_eq!(name.as_ref().map(ToString::to_string), Ok(text.to_owned()));
        }
    }

    #[test]
    fn literals_end_where_they_should() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
