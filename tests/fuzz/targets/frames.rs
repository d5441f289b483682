//! Records as they lie in the database: frames, their assembly, what blocks tell of them, sealed notes,
//! keys. Bytes are tried as they are and with their checksums put right, so that what lies behind the
//! checksum is reached.
#![no_main]

use collector::queue::{
    fuzzing,
    record::{self, Assembly, Record},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut mended = bytes.to_vec();
    fuzzing::mend_checksums(&mut mended);
    read(&mended);
});

fn read(bytes: &[u8]) {
    if let Some((seq, part)) = record::parse_key(bytes) {
        assert_eq!(record::key(seq, part), bytes);
    }
    fuzzing::notes(bytes);
    fuzzing::block(bytes);
    let mut assembly = Assembly::default();
    let mut rest = bytes;
    while let Ok(part) = record::parse_frame(rest) {
        assert!(part.index < part.count && part.frame_length() <= rest.len());
        if let Ok(Some(whole)) = assembly.push(&part) {
            assert_eq!(whole.seq, part.seq);
            comes_back(&whole.record);
        }
        rest = &rest[part.frame_length()..];
    }
    if let Ok(record) = record::unpack::<Record>(bytes) {
        comes_back(&record);
    }
}

/// What was decoded encodes to something that decodes to the same bytes. (Compared as bytes: a
/// figure may be NaN.)
fn comes_back(record: &Record) {
    let packed = record::pack(record).expect("it fitted before");
    let again: Record = record::unpack(&packed).expect("it was just packed");
    assert_eq!(record::pack(&again).expect("it fitted before"), packed);
    let mut assembly = Assembly::default();
    let frames = record::frames(7, 1 << 40, &packed);
    let last = frames
        .map(|(_, frame)| assembly.push(&record::parse_frame(&frame).expect("just made")))
        .last();
    assert!(matches!(last, Some(Ok(Some(_)))), "a record that was framed comes back");
}
