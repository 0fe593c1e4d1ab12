//! The commands that the READMEs show are commands, and their flags exist.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

const PAGES: [&str; 4] =
    ["README.md", "crates/bugle-postgres/README.md", "examples/README.md", "CONTRIBUTING.md"];

/// The lines of a page's shell blocks, those that end in a backslash put together.
fn shell_lines(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let joined = blocks.collect::<String>().replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// The help of a command; `None` when there is no such command.
fn help(words: &[&str]) -> Option<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bugle")).args(words).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn each_command_and_each_flag_exists() {
    let mut checked = 0;
    for page in PAGES {
        for line in shell_lines(page) {
            let line = line.split('#').next().unwrap();
            for command in line.split(['|', '&', ';']).map(str::trim) {
                let Some(arguments) = command.strip_prefix("bugle ") else { continue };
                let words: Vec<&str> = arguments.split_whitespace().collect();
                let mut text = help(&words[..1]).unwrap_or_else(|| panic!("{page}: {command}"));
                let is_name =
                    |word: &&str| word.chars().all(|it| it.is_ascii_lowercase() || it == '-');
                let second = words.get(1).filter(|word| is_name(word) && !word.starts_with('-'));
                if second.is_some() && text.contains("<COMMAND>") {
                    text = help(&words[..2]).unwrap_or_else(|| panic!("{page}: {command}"));
                }
                for flag in words.iter().filter(|word| word.starts_with("--")) {
                    let flag = flag.split('=').next().unwrap();
                    let known = text.split(|it: char| {
                        it.is_whitespace() || matches!(it, ',' | '[' | ']' | '=')
                    });
                    assert!(known.clone().any(|word| word == flag), "{page}: {command}: no {flag}");
                }
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "only {checked} commands were found");
}
