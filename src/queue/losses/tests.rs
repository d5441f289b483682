//! Whatever was lost is told, with a true count, in few ranges, until the server knows.

use proptest::prelude::*;

use super::*;

const AGENT: Uuid = Uuid::from_u128(u128::MAX);

fn of_queue() -> Losses {
    let mut losses = Losses::none();
    losses.number_by(&Arc::default());
    losses
}

fn ranges(losses: &Losses) -> Vec<(Reason, u64, u64, u64)> {
    let lost = losses.waiting().iter().map(|loss| loss.lost);
    lost.map(|lost| (lost.reason, lost.first_seq, lost.last_seq, lost.count)).collect()
}

fn reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL.to_vec())
}

proptest! {
    /// Each number is lost once at most, in whatever order.
    #[test]
    fn every_loss_is_told_with_a_true_count_in_few_ranges(
        fates in prop::collection::vec((any::<bool>(), reason()), 1..600),
        order in any::<u64>(),
        told in prop::collection::vec(0_usize..600, 0..4),
    ) {
        let mut losses = of_queue();
        let mut seqs: Vec<_> = (1..=fates.len() as u64).collect();
        seqs.rotate_left(usize::try_from(order).unwrap() % fates.len());
        let (mut open, mut all) = (Vec::new(), 0);
        for (step, seq) in seqs.into_iter().enumerate() {
            let (is_lost, reason) = fates[usize::try_from(seq).unwrap() - 1];
            if is_lost {
                losses.note_all(AGENT, reason, &[seq]);
                open.push((reason, seq));
                all += 1;
            }
            if told.contains(&step) {
                // A request tells all, and is acknowledged.
                let last = losses.numbers.last();
                losses.numbers.tell(last);
                prop_assert_eq!(losses.forget(last), !open.is_empty());
                open.clear();
            }
            let ranges = ranges(&losses);
            prop_assert!(ranges.len() <= MOST);
            for reason in Reason::ALL {
                let lost = open.iter().filter(|(why, _)| *why == reason).count() as u64;
                let told: u64 = ranges.iter().filter(|it| it.0 == reason).map(|it| it.3).sum();
                prop_assert_eq!(told, lost);
            }
            let covers = |(reason, seq): &(Reason, u64)| {
                ranges.iter().any(|it| it.0 == *reason && (it.1..=it.2).contains(seq))
            };
            prop_assert!(open.iter().all(covers));
        }
        let noted = losses.noted.dropped.total() + losses.noted.dead_lettered;
        prop_assert_eq!(noted, all);
    }
}

#[test]
fn losses_that_follow_one_another_are_one_range() {
    let mut losses = of_queue();
    losses.note_all(AGENT, Reason::Expired, &[1, 2, 3, 7]);
    losses.note_all(AGENT, Reason::Expired, &[4, 5]);
    losses.note_all(AGENT, Reason::Purged, &[6]);
    let told = [(Reason::Expired, 1, 5, 5), (Reason::Expired, 7, 7, 1), (Reason::Purged, 6, 6, 1)];
    assert_eq!(ranges(&losses), told);
    losses.note_all(AGENT, Reason::Expired, &[8]);
    assert_eq!(ranges(&losses)[1], (Reason::Expired, 7, 8, 2));
}

#[test]
fn what_comes_while_a_report_is_on_its_way_is_told_by_the_next_one() {
    let mut losses = of_queue();
    losses.note_all(AGENT, Reason::Overflow, &[1, 2]);
    let on_its_way = losses.numbers.last();
    losses.numbers.tell(on_its_way);
    losses.note_all(AGENT, Reason::Overflow, &[3]);
    assert_eq!(ranges(&losses), [(Reason::Overflow, 1, 2, 2), (Reason::Overflow, 3, 3, 1)]);
    assert!(losses.forget(on_its_way));
    assert_eq!(ranges(&losses), [(Reason::Overflow, 3, 3, 1)]);
}

#[test]
fn loss_that_grew_since_a_forgotten_report_is_not_forgotten_with_it() {
    let mut losses = of_queue();
    losses.note_all(AGENT, Reason::Overflow, &[1, 2]);
    let told = losses.numbers.last();
    // Another process, which doesn't know what is on its way.
    losses.numbers = Arc::default();
    losses.number_by(&Arc::default());
    losses.note_all(AGENT, Reason::Overflow, &[3]);
    losses.forget(told);
    assert_eq!(ranges(&losses), [(Reason::Overflow, 1, 3, 3)]);
}

#[test]
fn agents_and_reasons_are_never_mixed_and_numbers_go_on() {
    let mut losses = of_queue();
    losses.note_all(AGENT, Reason::Corrupt, &[1]);
    losses.note_all(Uuid::nil(), Reason::Corrupt, &[2]);
    assert_eq!(losses.waiting().len(), 2);
    losses.forget(u64::MAX);
    let again = Losses::unseal(&record::seal(&losses).unwrap()).unwrap();
    let numbers = Arc::default();
    let mut again = Losses { ..again };
    again.number_by(&numbers);
    assert_eq!(numbers.last(), 2, "a number is never given twice");
}

#[test]
fn full_note_fits_into_one_value_and_is_no_meta_record() {
    let mut losses = of_queue();
    losses.numbers.reach(u64::MAX - 1_000);
    for (at, reason) in (0..500).zip(Reason::ALL.into_iter().cycle()) {
        let seq = u64::MAX / 2 + at * 1_000_000_000_000;
        losses.note(Lost { agent_id: AGENT, reason, first_seq: seq, last_seq: seq + 9, count: 7 });
    }
    let sealed = record::seal(&losses).unwrap();
    assert_eq!(losses.waiting().len(), MOST);
    assert!(sealed.len() <= record::MAX_VALUE, "{}", sealed.len());
    assert!(record::unseal::<crate::queue::meta::Meta>(&sealed).is_err());
    assert_eq!(Losses::unseal(&sealed).unwrap().waiting(), losses.waiting());
}

#[test]
fn successor_takes_the_losses_over_once() {
    let mut newest = of_queue();
    newest.note_all(AGENT, Reason::Expired, &[1, 2]);
    let mut successor = newest.clone();
    let mut older = newest.handed_over();
    assert!(older.waiting().is_empty());
    older.note_all(AGENT, Reason::Expired, &[3]);
    // Written and read again, it is no longer the newest's.
    assert_eq!(older.handed_over().waiting(), older.waiting());
    successor.absorb(older);
    assert_eq!(ranges(&successor).iter().map(|it| it.3).sum::<u64>(), 3);
    assert_eq!(successor.noted.dropped.expired, 3);
}
