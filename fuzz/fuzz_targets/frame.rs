//! A frame: whatever its bytes are, and with its checksums mended, so that what they guard is read.
#![no_main]

use bugle_core::{Frame, FrameError, FrameHead};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// The same bytes as a frame whose head and body have the right checksums and length.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let (head, body) = bytes.split_at_mut_checked(FrameHead::LENGTH)?;
    head[..5].copy_from_slice(b"BGLF\x01");
    head[8..12].copy_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    head[12..16].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let check = crc32fast::hash(&head[..36]);
    head[36..].copy_from_slice(&check.to_le_bytes());
    Some(bytes)
}

fn check(bytes: Bytes) {
    let Ok((head, frame)) = Frame::decode(&bytes) else { return };
    assert!(head.frame_length() <= bytes.len());
    assert_eq!((head.first, head.previous), (frame.first, frame.previous));
    assert_eq!(usize::from(head.count), frame.events.len());
    // What was read is written so that it is read again.
    let mut written = Vec::new();
    match frame.encode(&mut written) {
        Ok(head) => assert_eq!(Frame::decode(&written.into()), Ok((head, frame))),
        Err(error) => {
            assert_eq!(error, FrameError::TooLarge);
            assert!(frame.events.len() > Frame::MAX_EVENTS);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(Bytes::copy_from_slice(bytes));
    if let Some(bytes) = mended(bytes) {
        check(bytes.into());
    }
});
