//! `tidegate token`: the tokens that clients send.

use anyhow::{Context as _, bail};
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::keys::random_hex;
use tidegate_core::scope::credential_digest;
use tidegate_store::{NewToken, Store, StoreError, Token};

use crate::args;
use crate::failure::Failure;
use crate::output::Output;
use crate::target::{Missing, Place};

/// Begins every token, so that people and scanners recognise one.
const TOKEN_PREFIX: &str = "tg_";

/// Random bytes of a token.
const TOKEN_BYTES: usize = 24;

/// What a token may do to a product.
const ACTIONS: [&str; 3] = ["read", "write", "admin"];

/// Longest name of a token or tenant.
const MAX_NAME: usize = 63;

/// What a new token is for.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) scopes: Vec<String>,
}

/// Runs a `token` command.
///
/// # Errors
/// A name or scope is wrong, or the store can't be used.
pub async fn run(command: args::Token, output: Output) -> Result<(), Failure> {
    match command {
        args::Token::Create { name, scopes, tenant, target } => {
            create(Grant { name, tenant, scopes }, &target, output).await
        }
        args::Token::List { target } => list(&target, output).await,
        args::Token::Revoke { name, target } => revoke(&name, &target, output).await,
    }
}

/// Makes a token; the store keeps its digest, only the caller ever has the token itself.
pub(crate) async fn mint(
    store: &dyn Store,
    grant: Grant,
    now: Timestamp,
) -> Result<String, StoreError> {
    let credential = format!("{TOKEN_PREFIX}{}", random_hex(TOKEN_BYTES));
    let Grant { name, tenant, scopes } = grant;
    let token = NewToken { name, digest: credential_digest(&credential), tenant, scopes };
    store.create_token(token, now).await?;
    Ok(credential)
}

async fn create(grant: Grant, target: &args::Target, output: Output) -> Result<(), Failure> {
    check(&grant).map_err(Failure::usage)?;
    let store = Place::find(target)?.open(Missing::Refuse).await?;
    let token = match mint(store.as_ref(), grant.clone(), Timestamp::now()).await {
        Ok(token) => token,
        Err(StoreError::Conflict(_)) => {
            let name = &grant.name;
            return Err(Failure::failed(anyhow::anyhow!(
                "there is a token '{name}'; choose another name, or `tidegate token revoke {name}`"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let value = json!({
        "name": grant.name,
        "tenant": grant.tenant,
        "scopes": grant.scopes,
        "token": token,
    });
    // Alone on its line: `TOKEN=$(tidegate token create …)` works.
    output.result(&token, &value)?;
    Ok(())
}

async fn list(target: &args::Target, output: Output) -> Result<(), Failure> {
    let store = Place::find(target)?.open(Missing::Refuse).await?;
    let tokens = store.tokens().await.context("the tokens can't be listed")?;
    let (name, tenant) = (width(&tokens, |t| &t.name), width(&tokens, |t| &t.tenant));
    for Token { name: of, tenant: whose, scopes, created_at } in &tokens {
        let created_at = created_at.to_rfc3339();
        let text = format!("{of:name$}  {whose:tenant$}  {created_at}  {}", scopes.join(" "));
        let value = json!({
            "name": of, "tenant": whose, "scopes": scopes, "created_at": created_at,
        });
        output.result(&text, &value)?;
    }
    Ok(())
}

async fn revoke(name: &str, target: &args::Target, output: Output) -> Result<(), Failure> {
    let store = Place::find(target)?.open(Missing::Refuse).await?;
    if !store.revoke_token(name).await.context("the token can't be revoked")? {
        return Err(Failure::failed(anyhow::anyhow!(
            "there is no token '{name}'; `tidegate token list` shows all"
        )));
    }
    output.result(&format!("revoked: {name}"), &json!({ "revoked": name }))?;
    Ok(())
}

/// Finds all problems of a grant.
fn check(grant: &Grant) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for (what, value) in [("name", &grant.name), ("tenant", &grant.tenant)] {
        if !is_name(value) {
            problems.push(format!(
                "{what} '{value}' must be 1 to {MAX_NAME} letters, digits, hyphens and underscores"
            ));
        }
    }
    for scope in &grant.scopes {
        let known = scope
            .split_once(':')
            .is_some_and(|(action, of)| ACTIONS.contains(&action) && (of == "*" || is_name(of)));
        if !known {
            problems.push(format!(
                "scope '{scope}' is not known; write read:, write: or admin: and a product or *"
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn width(tokens: &[Token], column: fn(&Token) -> &str) -> usize {
    tokens.iter().map(|token| column(token).len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_grant_is_named() {
        let grant = Grant {
            name: "a b".to_owned(),
            tenant: String::new(),
            scopes: ["read:air", "write:*", "fly:air", "read", "read:a/b"].map(String::from).into(),
        };
        let problems = check(&grant).unwrap_err().to_string();
        for part in ["name 'a b'", "tenant ''", "'fly:air'", "'read'", "'read:a/b'"] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        assert_eq!(problems.lines().count(), 5, "{problems}");
    }

    #[tokio::test]
    async fn a_minted_token_is_found_by_its_digest_only() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let store = tidegate_store::SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let grant = Grant {
            name: "loader".to_owned(),
            tenant: "acme".to_owned(),
            scopes: vec!["write:air".to_owned()],
        };
        let token = mint(&store, grant.clone(), now).await.unwrap();
        let found = store.find_token(&credential_digest(&token)).await.unwrap().unwrap();
        assert_eq!((found.name, found.tenant), (grant.name.clone(), grant.tenant.clone()));
        assert_eq!(store.find_token(&token).await.unwrap(), None);
        assert!(matches!(mint(&store, grant, now).await, Err(StoreError::Conflict(_))));
    }
}
