//! Tokens.

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tokio_postgres::Row;

use crate::postgres::WRITE;
use crate::postgres::fault::Fault;
use crate::postgres::outbox;
use crate::postgres::pool::{Pool, Session};
use crate::{NewToken, StoreError, Token};

pub(super) async fn create(
    session: &Session<'_>,
    token: &NewToken,
    now: Timestamp,
) -> Result<(), Fault> {
    let scopes = serde_json::to_string(&token.scopes)?;
    let inserted = session
        .execute(
            "insert into dp_token(name, digest, tenant, scopes, created_at)
         values($1, $2, $3, $4, $5) on conflict do nothing",
            &[&token.name, &token.digest, &token.tenant, &scopes, &now.0],
        )
        .await?;
    match inserted {
        1 => Ok(()),
        _ => Err(StoreError::Conflict(format!("token {}", token.name)).into()),
    }
}

pub(super) async fn find(session: &Session<'_>, digest: &str) -> Result<Option<Token>, Fault> {
    let select = "select name, tenant, scopes, created_at from dp_token where digest = $1";
    session.query_opt(select, &[&digest]).await?.map(|row| token(&row)).transpose()
}

pub(super) async fn list(session: &Session<'_>) -> Result<Vec<Token>, Fault> {
    let select = "select name, tenant, scopes, created_at from dp_token order by name";
    session.query(select, &[]).await?.iter().map(token).collect()
}

/// Deletes a token and tells the edges, which may hold what it resolved to.
pub(super) async fn revoke(pool: &Pool, name: &str) -> Result<bool, Fault> {
    let session = pool.begin(WRITE).await?;
    let gone = session
        .query_opt("delete from dp_token where name = $1 returning digest", &[&name])
        .await?;
    let Some(row) = gone else { return Ok(false) };
    outbox::put_notice(&session, Notice::Revoked { credential: row.try_get(0)? }).await?;
    session.commit().await?;
    Ok(true)
}

fn token(row: &Row) -> Result<Token, Fault> {
    Ok(Token {
        name: row.try_get(0)?,
        tenant: row.try_get(1)?,
        scopes: serde_json::from_str(row.try_get(2)?)?,
        created_at: Timestamp(row.try_get(3)?),
    })
}
