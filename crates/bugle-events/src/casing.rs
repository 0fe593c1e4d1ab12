//! From the names of a database to those of its events.

/// `wedding_invitee` as `WeddingInvitee`.
pub(crate) fn upper_camel(snake: &str) -> String {
    snake.split('_').map(capitalized).collect()
}

/// `first_name` as `firstName`.
pub(crate) fn lower_camel(snake: &str) -> String {
    let mut words = snake.split('_').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let mut letters = first.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters);
    first.chain(words.map(capitalized).collect::<String>().chars()).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined() {
        for (snake, upper, lower) in [
            ("member", "Member", "member"),
            ("wedding_invitee", "WeddingInvitee", "weddingInvitee"),
            ("id", "Id", "id"),
            ("address_line_1", "AddressLine1", "addressLine1"),
            ("_private__name_", "PrivateName", "privateName"),
            ("firstName", "FirstName", "firstName"),
            ("été_passé", "ÉtéPassé", "étéPassé"),
            ("", "", ""),
        ] {
            assert_eq!((upper_camel(snake).as_str(), lower_camel(snake).as_str()), (upper, lower));
        }
    }
}
