//! Claims about the broadcast.

use super::{Broker, assert_waits, listen, notice, soon};
use crate::Heard;

pub(crate) async fn every_subscriber_hears_every_notice_in_order(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    let mut subscriptions = [here.subscribe().await.unwrap(), there.subscribe().await.unwrap()];
    let notices: Vec<_> = (0..30).map(notice).collect();
    here.broadcast(&notices[..20]).await.unwrap();
    there.broadcast(&notices[20..]).await.unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(listen(&mut **subscription, 30).await, notices);
    }
}

pub(crate) async fn a_notice_of_another_process_wakes_a_waiting_subscriber(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    let mut subscription = here.subscribe().await.unwrap();
    for n in 0..50 {
        let (heard, ()) = tokio::join!(biased; soon(subscription.next()), async {
            there.broadcast(&[notice(n)]).await.unwrap();
        });
        assert_eq!(heard.unwrap(), Heard::Notices(vec![notice(n)]));
    }
}

pub(crate) async fn a_subscription_begins_with_what_comes_after_it(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.broadcast(&[notice(0)]).await.unwrap();
    let mut subscription = queue.subscribe().await.unwrap();
    assert_waits(subscription.next()).await;
    queue.broadcast(&[notice(1)]).await.unwrap();
    assert_eq!(listen(&mut *subscription, 1).await, [notice(1)]);
}

pub(crate) async fn a_slow_subscriber_catches_up(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut subscription = queue.subscribe().await.unwrap();
    let notices: Vec<_> = (0..2_500).map(notice).collect();
    for chunk in notices.chunks(100) {
        queue.broadcast(chunk).await.unwrap();
    }
    assert_eq!(listen(&mut *subscription, 2_500).await, notices);
}
