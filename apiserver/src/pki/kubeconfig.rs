//! A kubeconfig with everything inline, so that it can be copied and merged.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::Certified;

/// The file's text. Names are the same everywhere, so that `kubectl --context orlop` reads well.
pub(super) fn text(url: &str, ca: &str, user: &str, certified: &Certified) -> String {
    let [ca, certificate, key] =
        [ca, &certified.certificate, &certified.key].map(|pem| BASE64_STANDARD.encode(pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: orlop
  cluster:
    server: \"{url}\"
    certificate-authority-data: {ca}
users:
- name: \"{user}\"
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: orlop
  context:
    cluster: orlop
    user: \"{user}\"
current-context: orlop
"
    )
}

/// The certificate and key in a file of this form.
pub(super) fn certified(text: &str) -> Option<Certified> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        String::from_utf8(BASE64_STANDARD.decode(line.trim()).ok()?).ok()
    };
    Some(Certified { certificate: field("client-certificate-data:")?, key: field("client-key-data:")? })
}
