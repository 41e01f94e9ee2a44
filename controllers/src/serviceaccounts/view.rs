//! What the service account controller knows: namespaces, and whether they have their account.

use orlop_objects::{Key, kind};

use super::decide::View;
use crate::worker::{Due, Reader};

/// The name of the account that pods act as unless they say otherwise.
pub(crate) const DEFAULT: &str = "default";

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &Reader) -> View {
    let facts = |Due { key, .. }: &Due| {
        let namespace = reader.snapshot.get(key)?;
        let account = Key::new(&kind::SERVICE_ACCOUNT, &*key.name, DEFAULT);
        let has = reader.snapshot.get(&account).is_some();
        Some((key.clone(), !namespace.meta.is_terminating(), has))
    };
    View(keys.iter().filter_map(facts).collect())
}
