//! The words of the code, enforced: a type's name has one meaning in its crate, the sentences of a
//! doc comment have a subject, and lines fit in 100 columns.

mod sources;

use std::collections::BTreeMap;

use sources::{files, read};
use syn::{Attribute, Item};

const LONGEST_LINE: usize = 100;

/// A sentence that opens with one of these leaves its subject to the reader.
const QUESTIONS: [&str; 4] = ["What", "Who", "Whether", "How"];

/// The crates that still offend, each with the most offences that it may have: names that stand
/// twice, questions in doc comments, and lines that are too long. A number here only falls, and all
/// that is not here is 0.
const OWED: [(&str, [usize; 3]); 3] = [
    ("crates/bugle-runtime", [0, 9, 3]),
    ("crates/bugle-store", [19, 393, 43]),
    ("crates/bugle-testkit", [0, 22, 1]),
];

/// The part of the project that a file belongs to: its crate, the examples, or the tests.
fn part(path: &str) -> &str {
    match path.strip_prefix("crates/").and_then(|rest| rest.find('/')) {
        Some(end) => &path[.."crates/".len() + end],
        None => path.split('/').next().unwrap_or(path),
    }
}

/// Compares the offences of each part, one line each, with those that it may have.
fn check(offences: &BTreeMap<String, Vec<String>>, kind: usize) {
    let mut above = String::new();
    for (part, found) in offences {
        let owed = OWED.iter().find(|(name, _)| name == part).map_or(0, |(_, owed)| owed[kind]);
        if found.len() > owed {
            above += &format!("{part}: {}, and {owed} allowed\n", found.len());
            above += &found.iter().map(|line| format!("  {line}\n")).collect::<String>();
        }
    }
    assert!(above.is_empty(), "offences:\n{above}");
}

/// The offences of each part, as `find` finds them in the text of a file.
fn offences(
    paths: impl Iterator<Item = String>,
    find: impl Fn(&str) -> Vec<String>,
) -> BTreeMap<String, Vec<String>> {
    let mut offences = BTreeMap::<String, Vec<String>>::new();
    for path in paths {
        let found = find(&read(&path)).into_iter().map(|line| format!("{path}: {line}"));
        offences.entry(part(&path).to_owned()).or_default().extend(found);
    }
    offences
}

/// The library and binary sources of the crates, without files of tests.
fn crate_sources() -> impl Iterator<Item = String> {
    files("rs").into_iter().filter(|path| {
        path.starts_with("crates/")
            && path.split('/').nth(2) == Some("src")
            && !path.contains("/tests/")
            && !path.ends_with("/tests.rs")
    })
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// The types that these items declare, each with the modules around it. One that is declared for
/// each of several systems stands in one module, under one name.
fn types(items: &[Item], module: &str, found: &mut BTreeMap<String, Vec<String>>) {
    for item in items {
        let (name, attributes) = match item {
            Item::Struct(it) => (&it.ident, &it.attrs),
            Item::Enum(it) => (&it.ident, &it.attrs),
            Item::Union(it) => (&it.ident, &it.attrs),
            Item::Trait(it) => (&it.ident, &it.attrs),
            Item::Type(it) => (&it.ident, &it.attrs),
            Item::Mod(it) => {
                if let Some((_, items)) = &it.content
                    && !is_for_tests(&it.attrs)
                {
                    types(items, &format!("{module}::{}", it.ident), found);
                }
                continue;
            }
            _ => continue,
        };
        let modules = found.entry(name.to_string()).or_default();
        if !is_for_tests(attributes) && !modules.iter().any(|other| other == module) {
            modules.push(module.to_owned());
        }
    }
}

/// The sentences of a file's doc comments that open as questions do; headings are none.
fn questions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut paragraph, mut is_code) = (String::new(), false);
    for line in text.lines().chain([""]) {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let doc = doc.map(str::trim_start);
        is_code = doc.is_some_and(|doc| doc.starts_with("```") != is_code);
        let is_prose = |doc: &&str| !doc.is_empty() && !doc.starts_with("```") && !is_code;
        match doc.filter(is_prose).filter(|doc| !doc.starts_with("# ")) {
            Some(doc) => {
                paragraph.push_str(doc);
                paragraph.push(' ');
            }
            None => found
                .extend(sentences(&std::mem::take(&mut paragraph)).filter(|it| is_question(it))),
        }
    }
    found
}

fn sentences(paragraph: &str) -> impl Iterator<Item = String> {
    let text = paragraph.replace(['?', '!'], ".");
    text.split(". ").map(|sentence| sentence.trim().to_owned()).collect::<Vec<_>>().into_iter()
}

fn is_question(sentence: &str) -> bool {
    let words = sentence.trim_start_matches(['-', '*', '|', ' ', '(']);
    let first = words.split(|character: char| !character.is_alphanumeric()).next();
    first.is_some_and(|word| QUESTIONS.contains(&word))
}

/// The lines that are too long, without a program's output in a doc comment, which stands as it was
/// printed.
fn long_lines(text: &str) -> Vec<String> {
    let mut is_output = false;
    let long = (1..).zip(text.lines()).filter(|(_, line)| {
        is_output = match line.strip_prefix("//!").map(str::trim) {
            Some("```text") => true,
            Some("```") | None => false,
            Some(_) => is_output,
        };
        !is_output && line.chars().count() > LONGEST_LINE
    });
    long.map(|(number, _)| format!("line {number}")).collect()
}

#[test]
fn a_type_name_has_one_meaning_in_its_crate() {
    let mut crates = BTreeMap::<String, BTreeMap<String, Vec<String>>>::new();
    for path in crate_sources() {
        let file = syn::parse_file(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        types(&file.items, &path, crates.entry(part(&path).to_owned()).or_default());
    }
    let offences = crates.into_iter().map(|(name, types)| {
        let twice = types.into_iter().filter(|(_, modules)| modules.len() > 1);
        (name, twice.map(|(name, modules)| format!("{name}: {}", modules.join(", "))).collect())
    });
    check(&offences.collect(), 0);
}

#[test]
fn no_sentence_of_a_doc_comment_opens_with_a_question() {
    check(&offences(crate_sources(), questions), 1);
}

#[test]
fn lines_fit_in_100_columns() {
    check(&offences(files("rs").into_iter(), long_lines), 2);
}

#[test]
fn the_rules_find_what_breaks_them() {
    let source = "
        struct Place;
        #[cfg(unix)] type Handle = u32;
        #[cfg(windows)] type Handle = u64;
        mod other { trait Place {} struct Alone; }
        #[cfg(test)] mod tests { struct Alone; }";
    let mut found = BTreeMap::new();
    types(&syn::parse_file(source).unwrap().items, "file", &mut found);
    let modules = |name: &str| found[name].join(" ");
    assert_eq!(modules("Place"), "file file::other");
    assert_eq!((modules("Handle").as_str(), modules("Alone").as_str()), ("file", "file::other"));

    let source = [
        "/// How many there are. The number says",
        "/// what. Whether it is",
        "/// one.",
        "///",
        "/// ```",
        "/// How this runs.",
        "/// ```",
        "/// # How it runs",
        "/// However it is, it tells who wants it.",
        "// What a plain comment says is its own.",
        "//! * Who it is.",
    ];
    let expected = ["How many there are", "Whether it is one", "* Who it is"];
    let found = questions(&source.join("\n"));
    let found: Vec<&str> = found.iter().map(|it| it.trim_end_matches('.')).collect();
    assert_eq!(found, expected);

    let (fits, long) = ("…".repeat(100), "a".repeat(101));
    let source = format!("{fits}\n{long}\n//! ```text\n//! {long}\n//! ```\n//! {long}");
    assert_eq!(long_lines(&source), ["line 2", "line 6"]);
}
