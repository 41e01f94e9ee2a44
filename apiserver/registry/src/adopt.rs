//! A store that another build has written: its objects follow that build's schema table. Before they are served they get
//! the defaults of this one, so that every reader finds the fields that it may count on.

use futures::future::try_join_all;
use orlop_objects::{Key, kind, schema::table};
use uuid::Uuid;

use crate::{Error, Registry, Who};

/// Objects whose transactions share a flush.
const AT_ONCE: usize = 256;

/// Names the schema that the objects of this build follow: what [`orlop_store::Options`] wants to know.
pub fn schema() -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, table::text().as_bytes()).to_string()
}

impl Registry {
    /// Defaults all objects anew where the store says that they follow another schema, and has it remember this one;
    /// answers how many have changed. To be called before anything is served. Whatever a crash leaves undone is done by
    /// the next call.
    pub async fn adopt_schema(&self) -> Result<usize, Error> {
        if !self.store().schema_changed() {
            return Ok(0);
        }
        let (snapshot, who) = (self.snapshot(), Who::new("orlop:registry", "orlop"));
        let keys: Vec<Key> = kind::ALL
            .iter()
            .flat_map(|kind| snapshot.list(kind, None, None))
            .map(|o| o.key.clone())
            .collect();
        let mut changed = 0;
        for keys in keys.chunks(AT_ONCE) {
            let completed = keys.iter().map(|key| self.transact(&who, |door| door.complete(key)));
            changed += try_join_all(completed).await?.into_iter().filter(|changed| *changed).count();
        }
        self.store().adopt_schema()?;
        tracing::info!(changed, "the schema has changed: objects were given its defaults");
        Ok(changed)
    }
}
