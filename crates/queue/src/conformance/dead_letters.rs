//! Claims about what was kept aside.

use tidegate_core::job::Lane;

use super::{Broker, assert_waits, consumer, job, jobs, number, read, soon, take};
use crate::{DeliveryTag, Settlement};

fn dead(reason: &str) -> Settlement {
    Settlement::DeadLetter { reason: reason.to_owned() }
}

pub(crate) async fn a_dead_letter_says_what_is_known_of_it(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut published = job(Lane::High, 7);
    published.attempt = 4;
    queue.publish(std::slice::from_ref(&published)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::High, 1).await;
    let taken = take(&mut *consumer, 1).await.remove(0);
    consumer.settle(vec![(taken.tag, dead("permanent: no such city"))]).await.unwrap();

    let mut letters = queue.dead_letters(10).await.unwrap();
    let letter = read(&mut *letters, 1).await.remove(0);
    assert_eq!(letter.job.as_ref(), Some(&published));
    assert_eq!((letter.lane, letter.attempts), (Some(Lane::High), 4));
    assert_eq!(letter.reason, "permanent: no such city");
    assert_eq!(serde_json::from_slice::<tidegate_core::job::Job>(&letter.body).unwrap(), published);
    assert!(letter.published_at.is_some_and(|published_at| published_at <= letter.died_at));
}

pub(crate) async fn a_letter_comes_again_until_it_is_filed(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Default, 0..3)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Default, 10).await;
    let taken = take(&mut *consumer, 3).await;
    let settlements = taken.iter().map(|delivery| (delivery.tag, dead("permanent: no")));
    consumer.settle(settlements.collect()).await.unwrap();

    let mut leaving = queue.dead_letters(10).await.unwrap();
    let first = read(&mut *leaving, 3).await;
    assert_waits(leaving.next()).await;
    leaving.filed(vec![first[1].tag]).await.unwrap();
    drop(leaving);
    let mut letters = queue.dead_letters(10).await.unwrap();
    let again = read(&mut *letters, 2).await;
    let ids: Vec<_> = again.iter().map(|letter| letter.job.as_ref().unwrap().id).collect();
    assert_eq!(ids, [taken[0].job.id, taken[2].job.id]);
    let tags: Vec<DeliveryTag> = again.iter().map(|letter| letter.tag).collect();
    letters.filed(tags.clone()).await.unwrap();
    // Twice does no harm.
    letters.filed(tags).await.unwrap();
    assert_waits(letters.next()).await;
}

pub(crate) async fn unfiled_letters_are_counted_and_bounded_by_the_prefetch(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Low, 0..5)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Low, 10).await;
    let taken = take(&mut *consumer, 5).await;
    let settlements = taken.iter().map(|delivery| (delivery.tag, dead("permanent: no")));
    consumer.settle(settlements.collect()).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().unfiled, 5);

    let mut letters = queue.dead_letters(2).await.unwrap();
    let held = read(&mut *letters, 2).await;
    assert_waits(letters.next()).await;
    letters.filed(held.iter().map(|letter| letter.tag).collect()).await.unwrap();
    read(&mut *letters, 2).await;
}

pub(crate) async fn a_letter_wakes_who_waits_for_it(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    let mut letters = there.dead_letters(1).await.unwrap();
    here.publish(&[job(Lane::Default, 3)]).await.unwrap();
    let mut consumer = consumer(&*here, Lane::Default, 1).await;
    let taken = take(&mut *consumer, 1).await.remove(0);
    assert_eq!(number(&taken), 3);
    let (letter, ()) = tokio::join!(biased; soon(letters.next()), async {
        consumer.settle(vec![(taken.tag, dead("exhausted: no"))]).await.unwrap();
    });
    assert_eq!(letter.unwrap().job.unwrap().id, taken.job.id);
}
