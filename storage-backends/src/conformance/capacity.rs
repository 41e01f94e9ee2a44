//! A pool promises no more than it has.

use futures::future::join_all;

use super::{Stand, done, reference, refused};
use crate::driver::Code;

pub(super) async fn a_volume_larger_than_the_pool_is_refused(stand: &Stand) {
    let total = done("capacity", stand.driver.capacity().await).total;
    let mut request = stand.request(1);
    request.bytes = total.next_multiple_of(1 << 30) + (1 << 30);
    let why = refused("more than the pool has", stand.driver.create(request).await, Code::ResourceExhausted);
    assert!(why.contains("promise") && why.contains("iB"), "with the arithmetic: {why}");
    assert_eq!(done("list", stand.driver.list().await), [], "nothing half made");
}

pub(super) async fn promises_are_kept_and_given_back(stand: &Stand) {
    assert_eq!(done("capacity", stand.driver.capacity().await).promised, 0);
    let volume = stand.create(1).await;
    assert_eq!(done("capacity", stand.driver.capacity().await).promised, volume.bytes);
    done("delete", stand.driver.delete(reference(&volume)).await);
    assert_eq!(done("capacity", stand.driver.capacity().await).promised, 0);
}

/// Seven want two sevenths each: three get it, whoever comes first.
pub(super) async fn parallel_creates_never_promise_too_much(stand: &Stand) {
    let each = done("capacity", stand.driver.capacity().await).available / 7 * 2;
    let answers = join_all((1..=7).map(|number| {
        let mut request = stand.request(number);
        request.bytes = each;
        stand.driver.create(request)
    }))
    .await;
    let mut made = Vec::new();
    for answer in answers {
        match answer {
            Ok(volume) => made.push(volume),
            error => drop(refused("what does not fit", error, Code::ResourceExhausted)),
        }
    }
    assert_eq!(made.len(), 3, "{made:?}");
    assert_eq!(done("list", stand.driver.list().await), made);
    for volume in &made {
        done("delete", stand.driver.delete(reference(volume)).await);
    }
}
