//! HTTP/1.1, byte by byte, so that a reply can break its rules on purpose.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{StatusCode, Version};
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;

use super::ledger::{Exchange, OpenConnection, Received};
use super::reply::{Body, End, FILLER, FaultKind, Pace, Reply, Stage};
use super::request::{read_body, read_head};
use super::state::ReceiverState;
use super::wire::Wire;

/// Serves one connection until one side ends it.
pub(crate) async fn serve(
    shared: Arc<ReceiverState>,
    connection: &OpenConnection,
    mut wire: Wire,
) -> io::Result<()> {
    let peer = wire.tcp().peer_addr()?;
    let mut served = 0;
    loop {
        if wire.unread.is_empty() {
            if !wire.first_byte().await? {
                return Ok(());
            }
            if let Some(reply) = shared.script.early(Stage::BeforeReading) {
                return strike(wire, &reply, Stage::BeforeReading).await;
            }
        }
        let Some(head) = read_head(&mut wire.stream, &mut wire.unread).await? else {
            return Ok(());
        };
        let wants_close = head.wants_close();
        let planned = shared.script.next();
        let cut = planned.as_ref().is_some_and(|reply| reply.fault_at(Stage::AfterHead).is_some());
        let body = if cut {
            Bytes::new()
        } else {
            if head.expects_continue() {
                wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            read_body(&mut wire.stream, &mut wire.unread, &head).await?
        };

        let (received, mut exchange) = shared.book.record(Received {
            number: 0,
            at: Instant::now(),
            timestamp: Timestamp::now(),
            connection: connection.number,
            peer,
            version: Version::HTTP_11,
            method: head.method,
            path: head.path,
            headers: head.headers,
            body,
            complete: !cut,
        });
        let reply = planned.unwrap_or_else(|| shared.script.choose(&received));
        if let Some(fault) = &reply.fault
            && !matches!(fault.stage, Stage::InResponseHead | Stage::InResponseBody)
        {
            exchange.misbehaved();
            return strike(wire, &reply, fault.stage).await;
        }

        tokio::select! {
            // A sender that has closed only its own side is answered.
            biased;
            () = shared.before_answer(&reply) => {}
            () = wire.gone() => return Ok(()),
        }
        served += 1;
        let last = shared.requests_per_connection.is_some_and(|limit| served >= limit);
        let Some(kept) = answer(&shared, wire, &reply, exchange).await? else { return Ok(()) };
        wire = kept;
        if last || wants_close {
            wire.close().await;
            return Ok(());
        }
    }
}

/// Writes the response, and returns the connection if it may be used again.
async fn answer(
    shared: &ReceiverState,
    mut wire: Wire,
    reply: &Reply,
    mut exchange: Exchange,
) -> io::Result<Option<Wire>> {
    let head = head_of(reply);
    if reply.fault_at(Stage::InResponseHead).is_some() {
        exchange.misbehaved();
        write(&mut wire, &head[..head.len() / 2], reply.head_pace).await?;
        strike(wire, reply, Stage::InResponseHead).await?;
        return Ok(None);
    }
    write(&mut wire, &head, reply.head_pace).await?;

    let length = if reply.chunked || reply.has_length() { reply.body.length() } else { 0 };
    if reply.fault_at(Stage::InResponseBody).is_some() {
        exchange.misbehaved();
        write_body(shared, &mut wire, reply, length / 2).await?;
        strike(wire, reply, Stage::InResponseBody).await?;
        return Ok(None);
    }
    write_body(shared, &mut wire, reply, length).await?;
    if reply.chunked {
        wire.write_all(b"0\r\n\r\n").await?;
    }
    wire.flush().await?;

    let cut_short = reply.announced.is_some_and(|announced| announced > length);
    exchange.answered();
    match reply.end {
        End::KeepAlive if !cut_short => return Ok(Some(wire)),
        End::Reset => wire.reset(),
        _ => wire.close().await,
    }
    Ok(None)
}

/// Breaks the connection as the reply's fault says, if the fault is of this stage.
pub(super) async fn strike(mut wire: Wire, reply: &Reply, stage: Stage) -> io::Result<()> {
    match reply.fault_at(stage) {
        None => {}
        Some(FaultKind::Hang) => wire.ignore().await,
        Some(FaultKind::Reset) => wire.reset(),
        Some(FaultKind::Close | FaultKind::Refuse) => wire.close().await,
        Some(FaultKind::Garbage(bytes)) => {
            wire.write_all(bytes).await?;
            wire.close().await;
        }
        Some(FaultKind::Truncated(bytes)) => {
            wire.write_all(bytes).await?;
            wire.flush().await?;
            wire.truncate().await;
        }
        Some(FaultKind::Flood(first, then)) => {
            wire.write_all(first).await?;
            wire.flush().await?;
            let many = then.repeat((16 * 1024_usize).checked_div(then.len()).unwrap_or(0) + 1);
            while !many.is_empty() {
                wire.write_all(&many).await?;
            }
            wire.gone().await;
        }
    }
    Ok(())
}

fn head_of(reply: &Reply) -> Bytes {
    let reason = StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.chunked {
        head.push_str("transfer-encoding: chunked\r\n");
    } else if reply.has_length() {
        let length = reply.announced.unwrap_or_else(|| reply.body.length());
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    if reply.end == End::Announced {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into()
}

/// Writes the first `length` bytes of the body.
async fn write_body(
    shared: &ReceiverState,
    wire: &mut Wire,
    reply: &Reply,
    length: u64,
) -> io::Result<()> {
    let mut left = length;
    let mut from = 0;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = match &reply.body {
            Body::Bytes(bytes) => &bytes[from..],
            Body::Filler(_) => FILLER,
        };
        let most = most.min(reply.body_pace.map_or(FILLER.len(), |pace| pace.bytes));
        let piece = &piece[..most.min(piece.len())];
        if reply.chunked {
            wire.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        wire.write_all(piece).await?;
        if reply.chunked {
            wire.write_all(b"\r\n").await?;
        }
        shared.book.body_bytes(piece.len());
        from += piece.len();
        left -= piece.len() as u64;
        if left > 0 {
            pause(wire, reply.body_pace).await?;
        }
    }
    Ok(())
}

/// Writes bytes at the given pace.
async fn write(wire: &mut Wire, bytes: &[u8], pace: Option<Pace>) -> io::Result<()> {
    let step = pace.map_or(bytes.len().max(1), |pace| pace.bytes);
    for (index, piece) in bytes.chunks(step).enumerate() {
        if index > 0 {
            pause(wire, pace).await?;
        }
        wire.write_all(piece).await?;
    }
    Ok(())
}

/// Waits between two pieces, but no longer than the sender does.
async fn pause(wire: &mut Wire, pace: Option<Pace>) -> io::Result<()> {
    let Some(pace) = pace else { return Ok(()) };
    wire.flush().await?;
    tokio::select! {
        () = tokio::time::sleep(pace.every) => Ok(()),
        () = wire.gone() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
