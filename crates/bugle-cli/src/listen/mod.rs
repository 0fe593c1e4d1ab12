//! `bugle listen`: a receiver for development.

mod args;
mod behaviour;
mod webhook;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use bugle::Verifier;
use console::style;
use tokio::sync::watch;

use crate::error::CliError;
use crate::server::{self, Answer, Answering, Arrived};
use crate::signals::Signals;
use crate::ui;

pub(crate) use args::ListenArgs;
use behaviour::Behaviour;
use webhook::Webhook;

/// Runs the command.
pub(crate) async fn run(args: ListenArgs) -> Result<ExitCode, CliError> {
    let keys = args.keys.verifying_keys()?;
    let verifier = (!keys.is_empty())
        .then(|| Verifier::new(keys).tolerance(args.tolerance).header_identifier(&args.identifier));
    let mut signals = Signals::listen()?;
    let address = SocketAddr::new(args.host, args.port);
    let listener = server::bind(address).await.map_err(|error| {
        CliError::failed(format!("{address} can't be listened on: {error}; try another --port"))
    })?;
    let url = format!("http://{}", listener.local_addr().unwrap_or(address));
    ui::note(format_args!("listening on {}", style(&url).for_stderr().cyan()));
    if !args.json && console::user_attended_stderr() {
        let hint = format!("deliver to it: bugle deliver --to {url} --allow-private");
        ui::note(style(hint).for_stderr().dim());
    }
    let reset = args.misbehaving.reset;
    let (stop, stopped) = watch::channel(false);
    let printer = Arc::new(Printer {
        desk: Mutex::new(Desk {
            behaviour: Behaviour::new(&args.misbehaving),
            printed: 0,
            broken: None,
        }),
        verifier,
        args,
        stop,
    });
    let serving = server::serve(listener, Arc::clone(&printer), reset, stopped);
    tokio::select! {
        () = serving => {}
        () = signals.next() => {}
    }
    match printer.desk().broken.take() {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Prints webhooks and decides about them, one after the other.
struct Printer {
    desk: Mutex<Desk>,
    /// Absent when no key was given.
    verifier: Option<Verifier>,
    args: ListenArgs,
    /// Told when it has printed as many as it was asked to, or can't print.
    stop: watch::Sender<bool>,
}

/// What is held while one webhook is printed.
struct Desk {
    behaviour: Behaviour,
    printed: u64,
    broken: Option<CliError>,
}

impl Printer {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints one; whether it was the last.
    fn print(&self, arrived: &Arrived) -> (Answer, bool) {
        let mut desk = self.desk();
        if self.args.limit().is_some_and(|limit| desk.printed >= limit) {
            // It came too late.
            return (Answer::Cut, true);
        }
        let answer = desk.behaviour.next();
        let webhook = Webhook::new(arrived, &answer, self.verifier.as_ref(), &self.args);
        if let Err(error) = webhook.print(self.args.json) {
            desk.broken = Some(error);
        }
        desk.printed += 1;
        let enough = self.args.limit().is_some_and(|limit| desk.printed >= limit);
        let last = enough || desk.broken.is_some();
        (answer, last)
    }
}

impl Answering for Printer {
    async fn answer(&self, arrived: Arrived) -> Answer {
        let (answer, last) = self.print(&arrived);
        // Also a sleep of no time takes until the timer's next tick, a millisecond.
        if !self.args.misbehaving.delay.is_zero() {
            tokio::time::sleep(self.args.misbehaving.delay).await;
        }
        if last {
            self.stop.send_replace(true);
        }
        answer
    }
}
