//! Frames of which the header claims something that no frame has.

use super::*;

fn sealed_again(mut frame: Vec<u8>) -> Vec<u8> {
    let crc = checksum(&frame[..HEADER - 4], &frame[HEADER..]);
    frame[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    frame
}

#[test]
fn length_that_no_part_has_is_refused_before_its_checksum() {
    let mut bytes = frames(7, 9000, b"payload").next().unwrap().1;
    bytes.resize(1 << 20, 0);
    for (version, length) in [(1, MAX_PART + 1), (VERSION, 1 << 19), (u8::MAX, 1 << 17)] {
        bytes[4] = version;
        bytes[26..30].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
        assert_eq!(parse_frame(&bytes), Err(DecodeError::Damaged("longer than any part")));
    }
}

#[test]
fn numbers_that_no_queue_reaches_are_no_frame() {
    for (seq, running_total) in [(u64::MAX, 9), (7, u64::MAX), (MAX_NUMBER + 1, 9)] {
        let frame = frames(seq, running_total, b"payload").next().unwrap().1;
        let found = parse_frame(&frame);
        assert_eq!(found, Err(DecodeError::Damaged("impossible header")));
    }
    let frame = frames(MAX_NUMBER, MAX_NUMBER, b"payload").next().unwrap().1;
    assert!(parse_frame(&sealed_again(frame)).is_ok());
}

#[test]
fn sample_that_is_too_large_weighs_what_it_has() {
    let host = "x".repeat(MAX_PAYLOAD + 1);
    let origin = std::sync::Arc::new(crate::sample::Origin { host, ..Default::default() });
    let sample = crate::sample::Sample {
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin,
        interval: std::time::Duration::from_secs(5),
        metrics: crate::sample::Metrics::Cpu(crate::sample::Cpu::default()),
    };
    assert!(payload(Uuid::nil(), &sample).is_err());
    let weight = weight(&sample);
    assert!(weight > MAX_PAYLOAD as u64 && weight < 2 * MAX_PAYLOAD as u64, "{weight}");
}
