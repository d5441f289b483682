//! Openings of which a read fails: sled shows a part of what its file holds, and cuts off the rest.

use std::path::PathBuf;

use super::*;
use crate::queue::{raw, record, recovery, salvage::Salvage, store::tests};

/// The generations of a queue that lived: path, first number and end.
fn lived(directory: &Path) -> Vec<(PathBuf, u64, Option<u64>)> {
    let mut store = tests::filled(directory);
    let gone = tests::peek(&mut store, 100);
    store.settle(&gone, 0).unwrap();
    drop(store);
    let found = recovery::list(directory).unwrap();
    let ends = found.iter().skip(1).map(|end| Some(*end)).chain([None]);
    let path = |first_seq: &u64| generation_path(directory, *first_seq);
    found.iter().zip(ends).map(|(first_seq, end)| (path(first_seq), *first_seq, end)).collect()
}

#[test]
fn opening_that_misses_what_lies_on_the_disk_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let options = Options::for_test(home.path());
    for (path, first_seq, end) in lived(home.path()) {
        let raw = raw::read(&path).unwrap();
        for care in [Care::AsItIs, Care::CopyFirst] {
            // What sled can read of it.
            fs::write(path.join("db"), &raw.bytes[..raw.bytes.len() / 2]).unwrap();
            let live = Case::of(&options, (first_seq, end), &raw).open(care).unwrap().unwrap();
            assert_eq!(live.count().unwrap(), live.counts().samples);
            assert!(end.is_none_or(|end| live.meta.next_seq == end));
        }
    }
    assert!(!home.path().join(recovery::QUARANTINE).exists());
}

#[test]
fn what_is_damaged_on_the_disk_goes_to_the_quarantine_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let options = Options::for_test(home.path());
    let (path, first_seq, end) = lived(home.path()).swap_remove(1);
    let mut bytes = fs::read(path.join("db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100_000].fill(0);
    fs::write(path.join("db"), &bytes).unwrap();
    let opened = recovery::open_generation(&options, first_seq, end, Care::AsItIs).unwrap();
    assert!(matches!(opened, recovery::Opened::Mended(..)));
    let kept = home.path().join(recovery::QUARANTINE).join(path.file_name().unwrap()).join("db");
    assert!(fs::read(kept).unwrap() == bytes, "sled's opening is undone");
}

#[test]
fn opening_that_misses_what_left_is_seen() {
    let home = tempfile::tempdir().unwrap();
    let mut store = tests::filled(home.path());
    let gone = tests::peek(&mut store, 100);
    let (path, first_seq) = {
        let oldest = store.oldest.as_ref().unwrap();
        (oldest.directory().to_owned(), oldest.first_seq)
    };
    let before = raw::read(&path).unwrap();
    store.settle(&gone, 0).unwrap();
    let end = Some(store.middle[0].closed.first_seq);
    let raw = raw::read(&path).unwrap();
    drop(store);
    let copy = home.path().join("copy");
    before.write_copy(&copy).unwrap();
    let options = Options::for_test(home.path());
    let looked = Case::of(&options, (first_seq, end), &raw).look(&copy).unwrap();
    assert!(matches!(looked, Look::Behind(_)));
}

#[test]
fn opening_that_misses_the_fold_of_a_part_that_is_gone_is_a_damage() {
    let home = tempfile::tempdir().unwrap();
    let mut store = tests::filled(home.path());
    let (path, first_seq) = (store.newest.directory().to_owned(), store.newest.first_seq);
    let before = raw::read(&path).unwrap();
    while generation_path(home.path(), 1).exists() {
        let gone = tests::peek(&mut store, 1000);
        store.settle(&gone, 0).unwrap();
    }
    drop(store);
    let raw = raw::read(&path).unwrap();
    let copy = home.path().join("copy");
    before.write_copy(&copy).unwrap();
    let options = Options::for_test(home.path());
    let case = Case::of(&options, (first_seq, None), &raw);
    assert!(matches!(case.look(&copy).unwrap(), Look::Wrong(_)));
    // As long as the part is there, nothing is lost by it.
    fs::create_dir(generation_path(home.path(), 1)).unwrap();
    assert!(matches!(case.look(&copy).unwrap(), Look::Behind(_)));
}

#[test]
fn last_meta_record_is_the_one_that_knows_most_wherever_it_stands() {
    let first = crate::queue::live::tests::meta();
    let mut folded = first.clone();
    (folded.carried.enqueued, folded.folded_through) = (70, 1);
    let mut left = folded.clone();
    left.left.acknowledged = 1;
    let sealed = |metas: [&Meta; 3]| metas.map(|meta| record::seal(meta).unwrap()).concat();
    for bytes in [sealed([&left, &folded, &first]), sealed([&folded, &left, &first])] {
        assert_eq!(salvage::last_meta(&bytes), Some(left.clone()));
        assert_eq!(Salvage::of(&bytes).unwrap().meta, Some(left.clone()));
    }
    assert_eq!(salvage::last_meta(&sealed([&folded, &first, &first])), Some(folded));
}
