//! Calls to other systems.

use crate::{Json, Rules, WebhookStatus, event};

event! {
    /// A webhook was called: its URL, the result, and both sides of the exchange as text.
    ///
    /// ```
    /// # use bugle_events::{WebhookStatus, flow::{self, WebhookCalled}};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "webhook_called",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "url": "http://localhost:49998/?cmd=success",
    ///     "status": "success",
    ///     "status_code": 200,
    ///     "elapsed_ms": 123,
    ///     "request": "GET /?format=json HTTP/1.1",
    ///     "response": "HTTP/1.1 200 OK\r\n\r\n{\"ip\":\"190.154.48.130\"}"
    /// }"#)?;
    /// let called: &WebhookCalled = event.downcast_ref().unwrap();
    /// assert_eq!(called.status, WebhookStatus::Success);
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct WebhookCalled = "webhook_called" {
        /// The URL that was called.
        url: String => Rules::REQUIRED,
        /// The resthook that the called webhook subscribes to; empty when there is none.
        resthook: String => Rules::OPTIONAL,
        /// The result of the call.
        status: WebhookStatus => Rules::REQUIRED,
        /// The response's status; 0 when there was no response.
        status_code: i64 => Rules::OPTIONAL,
        /// The duration of the call, in milliseconds.
        elapsed_ms: i64 => Rules::PLAIN,
        /// The request, as text.
        request: String => Rules::REQUIRED,
        /// The response, as text; empty when there was none.
        response: String => Rules::OPTIONAL,
        /// True when the response's body was left out because it is not text.
        body_ignored: bool => Rules::OPTIONAL,
    }
}

event! {
    /// A resthook was called. The event carries the payload for its subscribers, whether there are
    /// any or not.
    ///
    /// ```
    /// # use bugle_events::flow::{self, ResthookCalled};
    /// let event = flow::registry().read_event(br#"{
    ///     "type": "resthook_called",
    ///     "created_on": "2006-01-02T15:04:05Z",
    ///     "resthook": "success",
    ///     "payload": {
    ///         "contact:": {
    ///             "name": "Bob"
    ///         }
    ///     }
    /// }"#)?;
    /// let called: &ResthookCalled = event.downcast_ref().unwrap();
    /// assert_eq!(called.resthook, "success");
    /// # Ok::<(), bugle_events::ReadError>(())
    /// ```
    pub struct ResthookCalled = "resthook_called" {
        /// The resthook's name.
        resthook: String => Rules::PLAIN,
        /// The payload that its subscribers get.
        payload: Json => Rules::PLAIN,
    }
}

impl ResthookCalled {
    /// Makes the event: this resthook was called with that payload.
    pub fn new(resthook: impl Into<String>, payload: Json) -> Self {
        Self { resthook: resthook.into(), payload, ..Self::now() }
    }
}
