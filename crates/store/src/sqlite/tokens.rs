//! Tokens.

use rusqlite::{Connection, OptionalExtension as _, Row};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;

use crate::sqlite::outbox;
use crate::{NewToken, StoreError, Token};

pub(super) fn create(sql: &Connection, token: &NewToken, now: Timestamp) -> Result<(), StoreError> {
    let inserted = sql
        .prepare_cached(
            "insert into dp_token(name, digest, tenant, scopes, created_at)
             values(?1, ?2, ?3, ?4, ?5) on conflict do nothing",
        )?
        .execute((
            &token.name,
            &token.digest,
            &token.tenant,
            serde_json::to_string(&token.scopes)?,
            now.0,
        ))?;
    if inserted == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("token {}", token.name))) }
}

pub(super) fn find(sql: &Connection, digest: &str) -> Result<Option<Token>, StoreError> {
    sql.prepare_cached("select name, tenant, scopes, created_at from dp_token where digest = ?1")?
        .query_row((digest,), |row| Ok(token(row)))
        .optional()?
        .transpose()
}

pub(super) fn list(sql: &Connection) -> Result<Vec<Token>, StoreError> {
    let mut select =
        sql.prepare_cached("select name, tenant, scopes, created_at from dp_token order by name")?;
    let mut rows = select.query(())?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(token(row)?);
    }
    Ok(tokens)
}

/// Deletes a token and tells the edges, which may hold what it resolved to.
pub(super) fn revoke(sql: &Connection, name: &str) -> Result<bool, StoreError> {
    let digest: Option<String> = sql
        .prepare_cached("delete from dp_token where name = ?1 returning digest")?
        .query_row((name,), |row| row.get(0))
        .optional()?;
    let Some(credential) = digest else { return Ok(false) };
    outbox::put_notice(sql, Notice::Revoked { credential })?;
    Ok(true)
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    let scopes = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(Token {
        name: row.get(0)?,
        tenant: row.get(1)?,
        scopes: serde_json::from_str(scopes)?,
        created_at: Timestamp(row.get(3)?),
    })
}
