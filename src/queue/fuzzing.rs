//! What the fuzz targets of `tests/fuzz` need to reach and nobody else may: built with
//! `--cfg fuzzing` alone. It checks what must be true of any bytes, and writes nothing to a disk.

use std::sync::Arc;

use memchr::memmem;

use super::{
    commit::Value,
    leaf::leaf,
    losses::Losses,
    meta::{Closed, Counts, Meta},
    reading::Reading,
    record::{self, HEADER, MAGIC, block::pieces::Piece},
    salvage::{self, Salvage},
};

/// Reads a generation's own notes.
pub fn notes(bytes: &[u8]) {
    if let Ok(meta) = record::unseal::<Meta>(bytes) {
        let again = record::seal(&meta).and_then(|bytes| Ok(record::unseal::<Meta>(&bytes)));
        assert!(matches!(again, Ok(Ok(_))), "what was read is written and read again");
    }
    drop(record::unseal::<Vec<Closed>>(bytes));
    if let Some(mut losses) = Losses::unseal(bytes) {
        losses.number_by(&Arc::default());
        let lost = losses.waiting().first().map(|loss| loss.lost);
        lost.into_iter().for_each(|lost| losses.note(lost));
        let again = record::seal(&losses).map(|bytes| Losses::unseal(&bytes).is_some());
        assert!(matches!(again, Ok(true)), "what was read is written and read again");
    }
}

/// Reads pages of what can be read of a closed database's raw bytes.
pub fn pages(bytes: &[u8]) {
    let mut from = 0;
    while from < u64::MAX {
        let (window, next) = leaf(bytes, &(from..u64::MAX), 2, 6000);
        assert!(next > from && window.entries.len() <= 2);
        assert!(window.entries.iter().all(|entry| (from..next).contains(&entry.seq)));
        from = next;
    }
}

/// Salvages what can be read of a database's raw bytes, and reads what would be written.
pub fn salvage(bytes: &[u8]) {
    let highest = salvage::highest_seq(bytes);
    let Ok(mut salvage) = Salvage::of(bytes) else { return };
    let base = salvage.meta.clone();
    let first_seq = base.as_ref().map_or(1, |meta| meta.head.min(meta.next_seq));
    salvage.keep(first_seq..u64::MAX);
    let Some((first, last)) = salvage.ends() else { return };
    assert!(first_seq <= first && first <= last);
    assert!(matches!(highest, Ok(Some(highest)) if last <= highest) || highest.is_err());
    if let Some(base) = base {
        let Counts { ledger, .. } = salvage.account(&base, first_seq, last + 1).counts(first_seq);
        assert_eq!(ledger.enqueued, last + 1 - first_seq);
    }
    let values = salvage.into_values();
    assert!(values.is_ok(), "what was salvaged can be written");
    read(values.unwrap_or_default());
}

/// Reads pieces of blocks in the order in which they stand there, as a scan would meet them.
pub fn pieces(bytes: &[u8]) {
    let mut reading = Reading::default();
    for at in memmem::find_iter(bytes, &MAGIC) {
        let Ok(piece) = Piece::parse(&bytes[at..]) else { continue };
        let value = &bytes[at..at + piece.length()];
        reading.take(record::key(piece.of.seqs.0, piece.index).to_vec(), value);
    }
    let count = reading.values.len();
    assert!(reading.found.iter().all(|found| found.last_value < count));
    assert!(reading.damaged.iter().all(|value| *value < count));
}

fn read(values: Vec<Value>) {
    let mut reading = Reading::default();
    for (key, value) in values {
        assert!(record::parse_key(&key).is_some() && value.len() <= record::MAX_VALUE);
        reading.take(key.to_vec(), &value);
    }
    let seqs: Vec<_> = reading.found.iter().map(|found| found.entry.seq).collect();
    assert!(seqs.is_sorted_by(|before, next| before < next), "in order, none twice: {seqs:?}");
}

/// Reads what a block may tell of its records.
pub fn block(bytes: &[u8]) {
    record::block::fuzzing(bytes);
}

/// Puts the checksum of everything that looks like a frame or a seal right.
pub fn mend_checksums(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        let rest = &mut bytes[at..];
        if rest.starts_with(&MAGIC) {
            mend(rest, HEADER, |payload, header| {
                let mut crc = crc32fast::Hasher::new();
                crc.update(header);
                crc.update(payload);
                crc.finalize()
            });
        } else if rest.starts_with(&record::SEAL) {
            mend(rest, record::SEAL_HEADER, |payload, _| crc32fast::hash(payload));
        }
    }
}

/// A header of `size` bytes ends with the payload's length and the checksum.
fn mend(bytes: &mut [u8], size: usize, crc: impl Fn(&[u8], &[u8]) -> u32) {
    let Some((header, payload)) = bytes.split_at_mut_checked(size) else { return };
    let Some(length) = header[..size - 4].last_chunk() else { return };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some(payload) = payload.get(..length) else { return };
    let crc = crc(payload, &header[..size - 4]);
    header[size - 4..].copy_from_slice(&crc.to_le_bytes());
}
