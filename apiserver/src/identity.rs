//! Who is asking. Read from a client certificate, or given by the listener.

use crate::pki::request;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, x509::AttributeTypeAndValue};

/// The administrators' group: may do everything.
pub const MASTERS: &str = "system:masters";
/// The nodes' group: may do what a node does.
pub const NODES: &str = "system:nodes";
/// What everybody with a name belongs to.
pub const AUTHENTICATED: &str = "system:authenticated";
const NODE_PREFIX: &str = "system:node:";

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, as in `system:admin` or `system:node:laptop`.
    pub user: String,
    /// The groups that the user belongs to.
    pub groups: Vec<String>,
    /// The hash of the key that the user's certificate is for; none for who came by another door than a certificate.
    key: Option<String>,
}

impl Identity {
    /// The administrator of this cluster.
    pub fn admin() -> Self {
        Self { groups: vec![MASTERS.to_owned()], ..Self::named("system:admin") }
    }

    /// A user of this name, in no group.
    pub fn named(user: impl Into<String>) -> Self {
        Self { user: user.into(), groups: Vec::new(), key: None }
    }

    /// The agent of the node `name`.
    pub fn node(name: &str) -> Self {
        Self { groups: vec![NODES.to_owned()], ..Self::named(format!("{NODE_PREFIX}{name}")) }
    }

    /// Reads a verified client certificate: the common name is the user, each organization a group. `None` without a name.
    pub(crate) fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        let user = subject.iter_common_name().find_map(text).filter(|user| !user.is_empty())?;
        let groups = subject.iter_organization().filter_map(text).collect();
        let key = request::key_hash(&certificate.public_key().subject_public_key.data);
        Some(Self { user, groups, key: Some(key) })
    }

    /// The same with a certificate for this key.
    #[cfg(test)]
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The hash of the key that its certificate is for.
    pub(crate) fn key(&self) -> Option<&String> {
        self.key.as_ref()
    }

    /// Whether the user belongs to `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node that this identity speaks for. Needs both the name and the group, as in Kubernetes' node authorizer.
    pub fn node_name(&self) -> Option<&str> {
        self.user.strip_prefix(NODE_PREFIX).filter(|name| !name.is_empty() && self.is_in(NODES))
    }
}
