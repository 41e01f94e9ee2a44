//! Carries out the one verdict about service accounts.

use orlop_objects::{Key, kind};
use serde_json::json;

use super::{ServiceAccounts, view::DEFAULT};
use crate::{Error, worker::Next};

/// Creates the account.
pub(super) async fn apply(accounts: &ServiceAccounts, key: &Key) -> Result<Next, Error> {
    let body = json!({"metadata": {"name": DEFAULT}});
    let made = accounts.registry.create(&kind::SERVICE_ACCOUNT, &key.name, body, &accounts.who, false).await;
    made.map_err(Error::doing("create the service account of", key))?;
    Ok(Next::Settled)
}
