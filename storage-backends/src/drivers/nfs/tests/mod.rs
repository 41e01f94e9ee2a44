//! The driver on a machine in memory, and on a real kernel with directories for shares.

mod attacks;
mod fake;
mod root;

use std::{collections::BTreeMap, time::Duration};

use crate::driver::{ClaimMeta, Create, Volume, VolumeRef};

const LONG: Duration = Duration::from_secs(60);
const SERVER: &str = "nfs.example.org";
const SHARE: &str = "/srv/nfs";

/// The name of a volume.
fn name(number: u32) -> String {
    format!("pvc-5e0c4f5a-9d2b-4c1e-8a77-{number:012x}")
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A claim `default/data-<number>` of a class on the share, with more parameters.
fn request(number: u32, more: &[(&str, &str)]) -> Create {
    let mut parameters = map(&[("server", SERVER), ("share", SHARE)]);
    parameters.extend(map(more));
    Create {
        name: name(number),
        bytes: 1 << 30,
        parameters,
        provisioner: super::NAME.to_owned(),
        claim: ClaimMeta {
            namespace: "default".to_owned(),
            name: format!("data-{number}"),
            ..ClaimMeta::default()
        },
        deadline: LONG,
        ..Create::default()
    }
}

fn reference(volume: &Volume) -> VolumeRef {
    VolumeRef { handle: volume.handle.clone(), attributes: volume.attributes.clone(), deadline: LONG }
}
