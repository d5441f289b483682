//! A disk that refuses to be read for a moment or for good, and openings that go wrong.

use std::cell::Cell;

use super::*;

const EIO: i32 = 5;

/// Reads three pages of sevens, of which the second is refused `refusals` times, after it was read in
/// part. The bytes, and how many pages can't be read.
fn read_with(refusals: u32, patience: Duration) -> (Vec<u8>, u64) {
    let left = Cell::new(refusals);
    read_pages(3 * PAGE - 10, patience, |page, offset| {
        page.fill(7);
        if offset == PAGE as u64 && left.get() > 0 {
            left.update(|left| left - 1);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    })
}

#[test]
fn page_that_is_refused_for_a_moment_is_read_after_all() {
    let whole = vec![7; 3 * PAGE - 10];
    assert_eq!(read_with(2, Duration::from_mins(1)), (whole, 0));
}

#[test]
fn page_that_stays_refused_is_zeros_and_counted() {
    let mut expected = vec![7; 3 * PAGE - 10];
    expected[PAGE..2 * PAGE].fill(0);
    for patience in [Duration::ZERO, 2 * PAUSE] {
        assert_eq!(read_with(u32::MAX, patience), (expected.clone(), 1));
    }
}

/// Opens a database as `looks` has it, one after the other, each of which finds the bytes as they were
/// and spoils them. What came of it, and how often it was opened.
fn open(looks: &[fn() -> Look<u32>]) -> (Result<u32, String>, usize) {
    let home = tempfile::tempdir().unwrap();
    let files = || {
        let read = |name: &str| fs::read(home.path().join(name)).ok();
        (read("db"), read("snap.1"), read("snap.2"))
    };
    fs::write(home.path().join("db"), "what was written").unwrap();
    fs::write(home.path().join("snap.1"), "what it knew").unwrap();
    let (raw, before, mut opened) = (read(home.path()).unwrap(), files(), 0);
    let outcome = raw.open(home.path(), || {
        assert_eq!(files(), before);
        fs::write(home.path().join("db"), "what is left of it, with a tail").unwrap();
        fs::rename(home.path().join("snap.1"), home.path().join("snap.2")).unwrap();
        opened += 1;
        Ok(looks[opened - 1]())
    });
    let outcome = outcome.unwrap();
    if outcome.is_err() {
        assert_eq!(files(), before, "the quarantine gets it as it was");
    }
    (outcome, opened)
}

#[test]
fn what_goes_wrong_once_is_opened_again_from_the_bytes_that_were_there() {
    let wrong = || Look::Wrong("half of it is missing".into());
    assert_eq!(open(&[wrong, || Look::Right(7)]), (Ok(7), 2));
    assert_eq!(open(&[|| Look::Behind(6), || Look::Right(7)]), (Ok(7), 2));
    assert_eq!(open(&[wrong, || Look::Behind(6), || Look::Right(7)]), (Ok(7), 3));
}

#[test]
fn what_goes_wrong_twice_alike_is_believed() {
    let wrong = || Look::Wrong("half of it is missing".into());
    assert_eq!(open(&[wrong, wrong]), (Err("half of it is missing".into()), 2));
    assert_eq!(open(&[|| Look::Behind(6), || Look::Behind(6)]), (Ok(6), 2));
}

#[test]
fn what_goes_wrong_each_time_another_way_is_given_up() {
    let wrongs: [fn() -> Look<u32>; 3] = [
        || Look::Wrong("one".into()),
        || Look::Wrong("two".into()),
        || Look::Wrong("three".into()),
    ];
    assert_eq!(open(&wrongs), (Err("three".into()), 3));
}
