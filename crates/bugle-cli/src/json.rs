//! JSON made readable, without a change to what it says: numbers keep all their digits, keys
//! their order.

use serde_json::value::RawValue;

/// Answers the text with a line for each element; `None` when it is not JSON.
pub(crate) fn pretty(text: &str) -> Option<String> {
    let compact = serde_json::from_str::<&RawValue>(text).ok()?.get();
    let mut out = String::with_capacity(compact.len() * 2);
    let mut depth = 0_usize;
    let mut chars = compact.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                out.push('"');
                push_string(&mut out, &mut chars);
            }
            '{' | '[' => {
                out.push(char);
                skip_space(&mut chars);
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    Some(out)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Copies the rest of a string, up to its closing quote.
fn push_string(out: &mut String, chars: &mut Chars<'_>) {
    while let Some(char) = chars.next() {
        out.push(char);
        match char {
            '\\' => out.extend(chars.next()),
            '"' => return,
            _ => {}
        }
    }
}

fn skip_space(chars: &mut Chars<'_>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

fn new_line(out: &mut String, depth: usize) {
    // However deep a stranger's body is, it is indented so far and no further.
    out.push('\n');
    out.push_str(&"  ".repeat(depth.min(32)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_indented_and_says_the_same() {
        let text = r#"{"b":1.0, "a" : [12345678901234567890123, {}, [ ], "x\"}\\", {"c":null}]}"#;
        let expected = "{\n  \"b\": 1.0,\n  \"a\": [\n    12345678901234567890123,\n    {},\n    \
                        [],\n    \"x\\\"}\\\\\",\n    {\n      \"c\": null\n    }\n  ]\n}";
        assert_eq!(pretty(text).as_deref(), Some(expected));
        assert_eq!(pretty("7").as_deref(), Some("7"));
        assert_eq!(pretty("{\"a\":"), None);
    }
}
