//! Tokens are found by digest, and a revoked one is told to the edges.

use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;

use super::{Engine, Fixture, NOW, TENANT};
use crate::{NewToken, StoreError};

fn token(name: &str, digest: &str) -> NewToken {
    NewToken {
        name: name.to_owned(),
        digest: digest.to_owned(),
        tenant: TENANT.to_owned(),
        scopes: vec!["read:air".to_owned(), "write:air".to_owned()],
    }
}

pub(crate) async fn a_token_is_found_by_its_digest_from_any_process(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.store.create_token(token("ci", "d1"), NOW).await.unwrap();
    let found = fixture.other().await.find_token("d1").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.scopes.len()), ("ci", 2));
    assert_eq!(fixture.store.tokens().await.unwrap(), [found]);
    assert!(fixture.store.find_token("d2").await.unwrap().is_none());
}

pub(crate) async fn a_name_or_credential_is_taken_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.store.create_token(token("ci", "d1"), NOW).await.unwrap();
    for taken in [token("ci", "d2"), token("other", "d1")] {
        let refused = fixture.store.create_token(taken, NOW).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
}

pub(crate) async fn a_revoked_token_is_gone_and_told(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.store.create_token(token("ci", "d1"), NOW).await.unwrap();
    assert!(fixture.store.revoke_token("ci").await.unwrap());
    assert!(!fixture.store.revoke_token("ci").await.unwrap());
    assert!(fixture.store.find_token("d1").await.unwrap().is_none());
    let told = OutboxMessage::Notice(Notice::Revoked { credential: "d1".to_owned() });
    assert_eq!(fixture.take_outbox().await, [told]);
}
