//! Turns the names of a database into those of its events, by the rules of Keel.

use std::mem;

/// A table's name as the type of a target: `wedding_invitee` as `WeddingInvitee`. Capitals stay.
pub(crate) fn upper_camel(table: &str) -> String {
    let mut capital = true;
    let mut name = String::with_capacity(table.len());
    for letter in table.chars() {
        match letter {
            // Keel's one acronym.
            _ if table == "ID" => return "Id".to_owned(),
            _ if letter.is_alphabetic() => {
                if mem::take(&mut capital) {
                    name.extend(letter.to_uppercase());
                } else {
                    name.push(letter);
                }
            }
            _ if letter.is_numeric() => {
                name.push(letter);
                capital = true;
            }
            '_' | ' ' | '-' | '.' => capital = true,
            _ => capital = false,
        }
    }
    named(name, table)
}

/// A column's name as a field of a target: `first_name` as `firstName`, `slackID` as `slackId`.
pub(crate) fn lower_camel(column: &str) -> String {
    let mut name = String::with_capacity(column.len());
    for word in words(column) {
        let mut letters = word.chars();
        if !name.is_empty() {
            name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        }
        name.push_str(&letters.as_str().to_lowercase());
    }
    named(name, column)
}

/// Keeps a name that has no words, only signs, as it is: a field needs a name.
fn named(name: String, written: &str) -> String {
    if name.is_empty() { written.to_owned() } else { name }
}

/// The class of a character: a word ends where it changes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    /// A letter or number of a script that has no case.
    Plain,
    /// A character between words.
    Sign,
}

impl Kind {
    fn of(letter: char) -> Self {
        match letter {
            _ if letter.is_lowercase() => Self::Lower,
            _ if letter.is_uppercase() => Self::Upper,
            '0'..='9' => Self::Digit,
            _ if letter.is_alphanumeric() => Self::Plain,
            _ => Self::Sign,
        }
    }
}

/// The words of a name: a new one begins where the kind of the letters changes, and the last
/// capital of several belongs to the small letters after it: `PDFLoader2` is `PDF`, `Loader`, `2`.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut begin = 0;
    let mut before = None;
    let mut last = 0;
    for (at, letter) in name.char_indices() {
        let kind = Kind::of(letter);
        if before.is_some_and(|before| before != kind) {
            let cut = if (before, kind) == (Some(Kind::Upper), Kind::Lower) { last } else { at };
            words.extend(name.get(begin..cut));
            begin = cut;
        }
        before = Some(kind);
        last = at;
    }
    words.extend(name.get(begin..));
    words.retain(|word| word.chars().next().is_some_and(|first| Kind::of(first) != Kind::Sign));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cased_as_keel_has_them() {
        for (name, table, column) in [
            ("member", "Member", "member"),
            ("wedding_invitee", "WeddingInvitee", "weddingInvitee"),
            ("id", "Id", "id"),
            ("ID", "Id", "id"),
            ("_id", "Id", "id"),
            ("foo__bar", "FooBar", "fooBar"),
            ("_private__name_", "PrivateName", "privateName"),
            // A letter after a digit begins a word.
            ("line2text", "Line2Text", "line2Text"),
            ("line_2_text", "Line2Text", "line2Text"),
            ("address_line_1", "AddressLine1", "addressLine1"),
            ("address_line1", "AddressLine1", "addressLine1"),
            ("2fa_code", "2FaCode", "2FaCode"),
            ("a1b2c3", "A1B2C3", "a1B2C3"),
            ("BFG9000x", "BFG9000X", "bfg9000X"),
            ("utf8", "Utf8", "utf8"),
            ("42", "42", "42"),
            // Capitals are words of their own in a column, and stay in a table.
            ("firstName", "FirstName", "firstName"),
            ("FirstName", "FirstName", "firstName"),
            ("slackID", "SlackID", "slackId"),
            ("slackId", "SlackId", "slackId"),
            ("slackIDID", "SlackIDID", "slackIdid"),
            ("slack_ID", "SlackID", "slackId"),
            ("slack_API_Key", "SlackAPIKey", "slackApiKey"),
            ("APIKey", "APIKey", "apiKey"),
            ("smallBIG", "SmallBIG", "smallBig"),
            ("URL", "URL", "url"),
            ("HTTPServer", "HTTPServer", "httpServer"),
            ("HTTP2Server", "HTTP2Server", "http2Server"),
            ("GL11Version", "GL11Version", "gl11Version"),
            ("iOS_app", "IOSApp", "iOsApp"),
            ("userIDs", "UserIDs", "userIDs"),
            ("X", "X", "x"),
            ("aB", "AB", "aB"),
            ("AString", "AString", "aString"),
            ("CREATED_AT", "CREATEDAT", "createdAt"),
            // Other signs part words, too.
            ("first name", "FirstName", "firstName"),
            ("first-name", "FirstName", "firstName"),
            ("first.name", "FirstName", "firstName"),
            ("price$usd", "Priceusd", "priceUsd"),
            // Letters beyond ASCII, which Keel's own names have not.
            ("été_passé", "ÉtéPassé", "étéPassé"),
            ("ÜBER_maß", "ÜBERMaß", "überMaß"),
            ("straße", "Straße", "straße"),
            ("имя_файла", "ИмяФайла", "имяФайла"),
            ("名前_2", "名前2", "名前2"),
            // Nothing is left of these: they stay.
            ("", "", ""),
            ("_", "_", "_"),
            ("$$", "$$", "$$"),
        ] {
            let cased = (upper_camel(name), lower_camel(name));
            assert_eq!(cased, (table.to_owned(), column.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_cased_column_stays_as_it_is() {
        for name in ["firstName", "line2Text", "slackId", "2FaCode", "iOsApp", "étéPassé"] {
            assert_eq!(lower_camel(name), name);
        }
    }
}
