//! A frame: of any bytes, and of any parts with the checksums that they should have, so that the
//! parts behind the checksums are read.
#![no_main]

use arbitrary::Arbitrary;
use bugle_core::{Frame, FramedEvent, encode_frame};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    bytes: &'a [u8],
    /// The last part is a position.
    has_position: bool,
    parts: Vec<&'a [u8]>,
}

impl Input<'_> {
    /// A frame of these parts.
    fn frame(&self) -> Option<Vec<u8>> {
        let events = self.parts.len().checked_sub(usize::from(self.has_position))?;
        if events > Frame::MAX_EVENTS {
            return None;
        }
        let mut frame = b"BGLF\x01".to_vec();
        frame.push(u8::from(self.has_position));
        frame.extend(u16::try_from(events).ok()?.to_le_bytes());
        let length: usize = self.parts.iter().map(|part| part.len()).sum();
        frame.extend(u32::try_from(length).ok()?.to_le_bytes());
        for part in &self.parts {
            frame.extend(u32::try_from(part.len()).ok()?.to_le_bytes());
            frame.extend(crc32fast::hash(part).to_le_bytes());
        }
        frame.extend(crc32fast::hash(&frame).to_le_bytes());
        frame.extend(self.parts.concat());
        Some(frame)
    }
}

/// What is read is written so that it is read again.
fn check(bytes: &[u8]) {
    let Ok((length, frame)) = Frame::decode(bytes) else { return };
    assert!(length <= bytes.len());
    if !frame.is_whole() {
        return;
    }
    let events: Vec<&FramedEvent> = frame.events.iter().flatten().collect();
    let position = frame.position.as_ref().and_then(|position| position.as_ref().ok());
    let parts = events.iter().map(|framed| (&*framed.event, framed.replay.as_ref()));
    let mut written = Vec::new();
    assert_eq!(encode_frame(parts, position, &mut written), Ok(()));
    assert_eq!(Frame::decode(&written), Ok((written.len(), frame.clone())));
}

fuzz_target!(|input: Input<'_>| {
    check(input.bytes);
    if let Some(frame) = input.frame() {
        let (length, read) = Frame::decode(&frame).expect("its checksums are right");
        assert_eq!(length, frame.len());
        assert_eq!(read.events.len() + usize::from(read.position.is_some()), input.parts.len());
        check(&frame);
    }
});
