//! The commands, and how each is run.

use std::process::ExitCode;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::error::{CliError, EXIT_CODES};
use crate::{
    deliver, demo, events, keygen, listen, log, records, relay, repair, replay, sign, verify,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  See it work, without a network:
    bugle demo

  In one terminal a receiver, in another an event for it:
    bugle listen --port 8080 --secret supersecret
    echo '{\"name\":\"invoice.paid\",\"payload\":{\"id\":1}}' |
      bugle deliver --to http://127.0.0.1:8080/hooks --secret supersecret --allow-private

Every command has examples of its own: bugle deliver --help

With --json a command prints JSON alone, its errors too: {\"errors\":[{\"code\":…,\"message\":…}]}";

/// Deliver events to webhooks, under supervision.
#[derive(Parser)]
#[command(
    name = "bugle",
    version,
    styles = STYLES,
    after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    max_term_width = 100,
)]
pub(crate) struct Cli {
    /// Log what happens to standard error; -vv: each attempt too; -vvv: all that there is.
    /// RUST_LOG, where it is set, decides in its place
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 100)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Deliver a file of events to webhooks
    Deliver(Box<deliver::DeliverArgs>),
    /// Relay a database's changes and outbox to webhooks
    Relay(Box<relay::RelayArgs>),
    /// Show the attempts that a store has on record
    Attempts(records::attempts::AttemptsArgs),
    /// Show the events of a store; look at event types, and check events against them
    Events(events::EventsArgs),
    /// Show what emitters gave up on
    DeadLetters(records::dead_letters::DeadLettersArgs),
    /// Deliver again what an emitter gave up on
    Replay(replay::ReplayArgs),
    /// Say what a damaged store has lost, and go on without it
    Repair(repair::RepairArgs),
    /// Receive webhooks and print them: a receiver for development
    Listen(listen::ListenArgs),
    /// Watch a supervision tree at work, without a network
    Demo(demo::DemoArgs),
    /// Print the signature headers of a body
    Sign(sign::SignArgs),
    /// Verify a request that was received
    Verify(verify::VerifyArgs),
    /// Make a new key
    Keygen(keygen::KeygenArgs),
    /// Print a shell's completion script
    #[command(after_help = "\
Examples:
  bugle completions bash > ~/.local/share/bash-completion/completions/bugle
  bugle completions zsh > ~/.zfunc/_bugle
  bugle completions fish > ~/.config/fish/completions/bugle.fish")]
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

impl Cli {
    /// Runs the command that was given.
    pub(crate) fn run(self) -> Result<ExitCode, CliError> {
        log::start(self.verbose, self.command.tells_itself())?;
        match self.command {
            Command::Deliver(args) => block_on(deliver::run(*args)),
            Command::Relay(args) => block_on(relay::run(*args)),
            Command::Attempts(args) => block_on(records::attempts::run(args)),
            Command::Events(args) => block_on(events::run(args)),
            Command::DeadLetters(args) => block_on(records::dead_letters::run(args)),
            Command::Replay(args) => block_on(replay::run(args)),
            Command::Repair(args) => repair::run(&args),
            Command::Listen(args) => block_on(listen::run(args)),
            Command::Demo(args) => block_on(demo::run(args)),
            Command::Sign(args) => sign::run(&args),
            Command::Verify(args) => verify::run(&args),
            Command::Keygen(args) => keygen::run(&args),
            Command::Completions { shell } => completions(shell),
        }
    }
}

fn block_on(
    command: impl Future<Output = Result<ExitCode, CliError>>,
) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::system(format!("no threads to work with: {e}")))?;
    let result = runtime.block_on(command);
    // A task that still runs is of no more use, and must not keep the process.
    runtime.shutdown_background();
    result
}

impl Command {
    /// True for a command that reports by itself what becomes of deliveries.
    fn tells_itself(&self) -> bool {
        matches!(self, Self::Deliver(_) | Self::Relay(_) | Self::Demo(_))
    }
}

fn completions(shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bugle", &mut script);
    crate::ui::result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
