//! Certificates, the administrator's kubeconfig, and what the cluster is told of its server: current for the addresses by
//! which this machine is reached, which change while the server runs.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use orlop_apiserver::{
    MASTERS,
    pki::{Pki, PkiError},
};
use orlop_registry::Registry;

use crate::{address, cluster_info, home::Home};

/// How often the server looks by which addresses it is reached, and whether its certificates run out.
const LOOK: Duration = Duration::from_secs(60);

/// What clients need to reach this server and to be sure of it.
pub(crate) struct Certificates {
    pub(crate) pki: Arc<Pki>,
    kubeconfig: PathBuf,
    listen: SocketAddr,
    /// Names and addresses that the machine does not know of itself.
    sans: Vec<String>,
}

impl Certificates {
    /// Makes what is missing for a server that listens on `listen`.
    pub(crate) fn prepare(home: &Home, listen: SocketAddr, sans: &[String]) -> Result<Self> {
        let names = names(sans);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let addresses = addresses(listen, sans)?;
        let pki = Pki::ensure(&home.dir.join("pki"), &names, &addresses).context("prepare certificates")?;
        let kubeconfig = home.dir.join("admin.kubeconfig");
        let certificates = Self { pki: Arc::new(pki), kubeconfig, listen, sans: sans.to_vec() };
        certificates.write_kubeconfig().context("write admin.kubeconfig")?;
        Ok(certificates)
    }

    /// Tells the cluster how its server is reached now, and answers what it was told.
    pub(crate) async fn publish(&self, registry: &Registry) -> Result<String> {
        let url = self.url();
        cluster_info::publish(registry, &url, &self.pki).await.context("tell how this server is reached")?;
        Ok(url)
    }

    fn url(&self) -> String {
        format!("https://{}", address::shown(self.listen, self.sans.first().map(String::as_str)))
    }

    fn write_kubeconfig(&self) -> Result<(), PkiError> {
        let reached = if self.listen.ip().is_unspecified() {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.listen.port())
        } else {
            self.listen
        };
        self.pki.write_kubeconfig(&self.kubeconfig, &format!("https://{reached}"), "system:admin", MASTERS)
    }

    /// Follows the machine's addresses and replaces what runs out, while the server runs; `told` is what was published.
    pub(crate) async fn keep(self, registry: Registry, mut told: String) {
        let mut fails = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let looked = self.look(&registry, &mut told).await;
            match &looked {
                Ok(true) => tracing::info!("renewed the server's certificate"),
                Ok(false) => {}
                Err(_) if fails => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "renew the server's certificates; trying again every minute");
                }
            }
            fails = looked.is_err();
        }
    }

    /// One look; answers whether there is a new certificate. Addresses that cannot be listed leave everything as it is.
    async fn look(&self, registry: &Registry, told: &mut String) -> Result<bool> {
        let renewed = self.pki.renew(&addresses(self.listen, &self.sans)?)?;
        self.write_kubeconfig()?;
        if self.url() != *told && !self.is_cut_off() {
            *told = self.publish(registry).await?;
            tracing::info!(server = told.as_str(), "told the cluster how its server is reached by now");
        }
        Ok(renewed)
    }

    /// Whether the machine cannot say by which address others reach it, since it has no way to any: that is no news.
    fn is_cut_off(&self) -> bool {
        self.sans.is_empty()
            && self.listen.ip().is_unspecified()
            && orlop_nodeagent::own_address(None).is_loopback()
    }
}

/// The names by which the server is called.
fn names(sans: &[String]) -> Vec<String> {
    let fixed = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let given = sans.iter().filter(|san| san.parse::<IpAddr>().is_err()).cloned();
    let all = fixed.map(str::to_owned).into_iter().chain(address::host_name()).chain(given);
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The addresses by which it is reached now.
fn addresses(listen: SocketAddr, sans: &[String]) -> Result<Vec<IpAddr>> {
    let served = address::served(listen.ip()).context("list the addresses of this machine")?;
    let local = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let given = sans.iter().filter_map(|san| san.parse().ok());
    let all: BTreeSet<IpAddr> = local.into_iter().chain(served).chain(given).collect();
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_what_was_given_beside_what_is_found() {
        let sans = ["10.9.9.9", "server.example", "localhost", "127.0.0.1"].map(str::to_owned);
        let names = names(&sans);
        for name in ["kubernetes.default.svc", "localhost", "server.example"] {
            assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name == "10.9.9.9"), "{names:?}");
        let listen = "127.0.0.1:6443".parse().expect("an address");
        let found = addresses(listen, &sans).expect("can be listed");
        let found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["10.9.9.9", "127.0.0.1", "::1"]);
    }
}
