//! One timer for all deliveries over a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is armed once and then runs on, although each delivery has a deadline of its own.
///
/// Arming a timer for every delivery is a measurable part of a delivery's cost. Deadlines of one
/// connection only move forward, so the timer stays armed for an earlier one; when that passes
/// during a later delivery, it is armed again.
pub(crate) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(sleep_until(at)) }
    }

    /// Sets the deadline of the next delivery.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Returns ready once the deadline has passed.
    ///
    /// It is polled outside of tokio's cooperative budget. A receiver that sends without end has
    /// its connection use up the budget at each turn, and a timer within it would never be ready.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut unconstrained(self.timer.as_mut())).poll(context));
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_timer_serves_many_deadlines() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut deadline = Deadline::new(start + second);
        for (at, expected) in [(3, 3), (4, 4), (2, 4), (10, 10), (9, 10), (12, 12)] {
            deadline.set(start + at * second);
            poll_fn(|context| deadline.poll(context)).await;
            assert_eq!(start.elapsed().as_secs(), expected, "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_one_is_heeded() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut deadline = Deadline::new(start + 100 * second);
        deadline.set(start + second);
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    /// A receiver that sends without end uses up the budget so.
    #[tokio::test(start_paused = true)]
    async fn it_is_heeded_by_who_has_used_up_its_turn() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let send = || (0..1000).for_each(|number| sender.send(number).unwrap());
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut deadline = Deadline::new(start + second);
        tokio::time::sleep(2 * second).await;
        let past = poll_fn(|context| {
            send();
            while receiver.poll_recv(context).is_ready() {}
            assert!(!receiver.is_empty(), "the turn is used up before the messages are");
            Poll::Ready(deadline.poll(context))
        });
        assert!(past.await.is_ready());
    }
}
