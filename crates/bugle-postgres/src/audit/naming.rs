//! Names in the database, and what they are in an event.

/// `wedding_invitee` as `WeddingInvitee`.
pub(crate) fn upper_camel(snake: &str) -> String {
    let mut name = lower_camel(snake);
    if let Some(first) = name.chars().next() {
        let upper: String = first.to_uppercase().collect();
        name.replace_range(..first.len_utf8(), &upper);
    }
    name
}

/// `first_name` as `firstName`. Underscores that begin a name stay.
pub(crate) fn lower_camel(snake: &str) -> String {
    let mut name = String::with_capacity(snake.len());
    let mut upper = false;
    for character in snake.chars() {
        match character {
            '_' if name.chars().all(|character| character == '_') => name.push('_'),
            '_' => upper = true,
            other if upper => {
                name.extend(other.to_uppercase());
                upper = false;
            }
            other => name.push(other),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_their_case() {
        for (snake, lower, upper) in [
            ("wedding_invitee", "weddingInvitee", "WeddingInvitee"),
            ("member", "member", "Member"),
            ("first_name", "firstName", "FirstName"),
            ("id", "id", "Id"),
            ("line_2_a", "line2A", "Line2A"),
            ("_id", "_id", "_id"),
            ("a__b_", "aB", "AB"),
            ("öl_ärger", "ölÄrger", "ÖlÄrger"),
            ("", "", ""),
        ] {
            assert_eq!((lower_camel(snake).as_str(), upper_camel(snake).as_str()), (lower, upper));
        }
    }
}
