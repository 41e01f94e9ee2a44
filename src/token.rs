//! `orlop token create`: makes a token on a running server and prints the command that joins by it.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::{Timestamp, ToSpan};
use orlop_client::Client;
use orlop_objects::{
    Key,
    join::{TOKEN_NAMESPACE, Token, hex, stored_token},
    kind, time,
};
use sha2::{Digest, Sha256};

use crate::{cli, cluster_info, local, random, say::say};

/// How long a token lives.
const LIFE_HOURS: i64 = 24;

pub(crate) fn run(dir: &Path, command: &cli::Token) -> Result<()> {
    let cli::Token::Create { quiet } = command;
    local::ask(dir, async |client| create(&client, *quiet).await)
}

async fn create(client: &Client, quiet: bool) -> Result<()> {
    let now = Timestamp::now();
    remove_old(client, now).await;
    let info = cluster_info::read(client).await?;
    let token = Token::new(random::bytes()?, random::bytes()?, &info.authority);
    let expires = now.checked_add(LIFE_HOURS.hours())?;
    let body = stored_token(&token.id, &hex(&Sha256::digest(&token.secret)), expires);
    client.create(&kind::SECRET, TOKEN_NAMESPACE, &body).await.context("store the token's hash")?;
    if quiet {
        say!("{}", token.reveal());
        return Ok(());
    }
    say!(
        "# On the machine that is to join, as root; the token is good once, until {}:",
        time::seconds(expires)
    );
    say!("(umask 077; printf '%s\\n' '{}' > orlop.token)", token.reveal());
    say!("orlop agent --server {} --token orlop.token", info.server);
    if info.server.contains("//127.") || info.server.contains("//[::1]") {
        say!(
            "# This server listens for its own machine only; for others start it with --listen 0.0.0.0:6443."
        );
    }
    Ok(())
}

/// Tokens whose time is over are of no use to anybody. That they stay is no reason to fail.
async fn remove_old(client: &Client, now: Timestamp) {
    for object in client.list(&kind::SECRET, Some(TOKEN_NAMESPACE), &[]).await.unwrap_or_default() {
        let over = orlop_objects::join::token_end(&object.value()).is_some_and(|end| end < now);
        if over {
            let key = Key::new(&kind::SECRET, TOKEN_NAMESPACE, object.key.name.as_str());
            let _ = client.delete(&key, &serde_json::json!({})).await;
        }
    }
}
