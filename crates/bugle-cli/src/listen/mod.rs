//! `bugle listen`: a receiver for development.

mod args;
mod behaviour;
mod webhook;

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bugle::Verifier;
use console::style;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::{CliError, in_words};
use crate::server::{self, Answer, Answering, Arrived};
use crate::signals::Signals;
use crate::{output, ui};

pub(crate) use args::ListenArgs;
use behaviour::Behaviour;
use webhook::Webhook;

/// The time that a timestamp may be off where `--tolerance` is not given.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Runs the command.
pub(crate) async fn run(args: ListenArgs) -> Result<ExitCode, CliError> {
    let keys = args.keys.verifying_keys()?;
    args.check(!keys.is_empty())?;
    let verifier = (!keys.is_empty()).then(|| {
        let tolerance = args.tolerance.unwrap_or(TOLERANCE);
        Verifier::new(keys).tolerance(tolerance).header_identifier(&args.identifier)
    });
    let mut signals = Signals::listen()?;
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(|error| unfit(&args, &error))?;
    let url = format!("http://{address}");
    ui::note(format_args!("listening on {}", style(&url).for_stderr().cyan()));
    if !args.json && console::user_attended_stderr() {
        let hint = format!("deliver to it: bugle deliver --to {url} --allow-private");
        ui::note(style(hint).for_stderr().dim());
    }
    let reset = args.misbehaving.reset;
    let (stop, stopped) = watch::channel(false);
    let most = args.limit().map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let printer = Arc::new(Printer {
        desk: Mutex::new(Desk {
            behaviour: Behaviour::new(&args.misbehaving),
            printed: 0,
            broken: None,
        }),
        places: Arc::new(Semaphore::new(most.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))),
        verifier,
        args,
        stop,
    });
    let serving = server::serve(listener, Arc::clone(&printer), reset, stopped);
    tokio::select! {
        () = serving => {}
        () = signals.next() => {}
        () = output::nobody_reads() => {}
    }
    match printer.desk().broken.take() {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Listens on the address that was asked for.
async fn listen(args: &ListenArgs) -> Result<TcpListener, CliError> {
    // As a URL has it, an IPv6 address stands in brackets.
    let host = args.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = host.unwrap_or(&args.host);
    server::bind((host, args.port)).await.map_err(|error| unfit(args, &error))
}

fn unfit(args: &ListenArgs, error: &io::Error) -> CliError {
    let (host, port) = (&args.host, args.port);
    match error.kind() {
        ErrorKind::AddrInUse => CliError::system(format!(
            "{host}:{port} can't be listened on: something listens there already; try another \
             --port (0 for any that is free)"
        )),
        ErrorKind::PermissionDenied => CliError::system(format!(
            "{host}:{port} can't be listened on: you are not permitted to; try a --port above 1023"
        )),
        ErrorKind::AddrNotAvailable => CliError::usage(format!(
            "--host {host} is no address of this machine's: 127.0.0.1, localhost and 0.0.0.0 \
             always are"
        )),
        // Nothing else is said where a name is not known.
        _ if host.parse::<IpAddr>().is_err() => CliError::usage(format!(
            "--host {host} is not known: give an address of this machine's, or a name that it has, \
             as localhost"
        )),
        _ => {
            let why = in_words(error);
            CliError::system(format!("{host}:{port} can't be listened on: {why}"))
        }
    }
}

/// Prints webhooks and decides about them, one after the other.
struct Printer {
    desk: Mutex<Desk>,
    /// Has one permit for each webhook that may still be printed; a sender that does not wait for
    /// its answer gives its own back.
    places: Arc<Semaphore>,
    /// `None` when no key was given.
    verifier: Option<Verifier>,
    args: ListenArgs,
    /// Raised when the printer has printed as many webhooks as it was asked to, or can't print.
    stop: watch::Sender<bool>,
}

/// The claim on the printer while one webhook is printed.
struct Desk {
    behaviour: Behaviour,
    printed: u64,
    broken: Option<CliError>,
}

impl Printer {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering for Printer {
    type Claim = Option<OwnedSemaphorePermit>;

    async fn answer(&self, _: &Arrived) -> (Answer, Self::Claim) {
        // It came too late where there will be no place any more.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return (Answer::Cut, None);
        };
        let answer = self.desk().behaviour.next();
        // Also a sleep of no time takes until the timer's next tick, a millisecond.
        if !self.args.misbehaving.delay.is_zero() {
            tokio::time::sleep(self.args.misbehaving.delay).await;
        }
        (answer, Some(place))
    }

    fn answered(&self, arrived: &Arrived, answer: &Answer, place: Self::Claim) {
        let Some(place) = place else { return };
        place.forget();
        let mut desk = self.desk();
        let webhook = Webhook::new(arrived, answer, self.verifier.as_ref(), &self.args);
        if let Err(error) = webhook.print(self.args.json) {
            desk.broken.get_or_insert(error);
        }
        desk.printed += 1;
        let enough = self.args.limit().is_some_and(|limit| desk.printed >= limit);
        if enough || desk.broken.is_some() {
            self.places.close();
            self.stop.send_replace(true);
        }
    }
}
