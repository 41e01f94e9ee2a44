//! What stands in the journal after ends, torn tails and damage.

use std::io::Write;

use super::*;

fn volume(handle: &str) -> Intent {
    Intent::Volume(VolumeIntent {
        id: VolumeId::new("loop.orlop.dev", handle),
        name: handle.to_owned(),
        attributes: BTreeMap::new(),
    })
}

#[tokio::test]
async fn what_was_begun_and_not_ended_stands_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent/journal");
    let journal = Journal::open(&path).unwrap();
    journal.begin(volume("a")).await.unwrap();
    journal.begin(volume("b")).await.unwrap();
    journal.end(&volume("a").subject());
    journal.begin(volume("c")).await.unwrap();
    drop(journal);

    let journal = Journal::open(&path).unwrap();
    let left: Vec<Subject> = journal.subjects().into_iter().collect();
    assert_eq!(left, [volume("b").subject(), volume("c").subject()]);
    assert_eq!(journal.find(&volume("b").subject()), Some(volume("b")));
}

#[tokio::test]
async fn what_has_settled_is_seen_by_the_next_one_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    journal.begin(volume("a")).await.unwrap();
    journal.end(&volume("a").subject());
    journal.settle().await.unwrap();
    assert_eq!(Journal::open(&path).unwrap().subjects(), BTreeSet::new());
    drop(journal);
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_and_the_file_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    Journal::open(&path).unwrap().begin(volume("a")).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..whole.len() {
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&whole).unwrap();
        file.write_all(&whole[..cut]).unwrap();
        drop(file);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.subjects().len(), 1, "cut after {cut} bytes");
        journal.begin(volume("z")).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().subjects().len(), 2);
    }
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_and_costs_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    for name in ["a", "b", "c"] {
        journal.begin(volume(name)).await.unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let left = Journal::open(&path).unwrap().subjects();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&volume("a").subject()) && left.contains(&volume("c").subject()));
}

#[tokio::test]
async fn the_same_intent_again_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    journal.begin(volume("a")).await.unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    journal.begin(volume("a")).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
}
