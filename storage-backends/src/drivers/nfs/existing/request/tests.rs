//! What is taken and what is refused, and how.

use super::*;
use crate::driver::ClaimMeta;

const NAME: &str = "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77";

fn request(provisioner: &str, parameters: &[(&str, &str)]) -> Create {
    Create {
        name: NAME.into(),
        bytes: 1 << 20,
        parameters: parameters.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        provisioner: provisioner.into(),
        claim: ClaimMeta { namespace: "default".into(), name: "data".into(), ..ClaimMeta::default() },
        ..Create::default()
    }
}

fn spec(provisioner: &str, more: &[(&str, &str)]) -> Result<Spec, String> {
    let place = [("server", "nfs"), ("share", "/srv")];
    Spec::parse(&request(provisioner, &[&place, more].concat()))
}

#[test]
fn each_provisioner_has_its_own_defaults() {
    let subdir = spec(nfs::SUBDIR_PROVISIONER, &[]).unwrap();
    assert_eq!(
        (subdir.on_delete, subdir.make.marker.directory),
        (OnDelete::Archive, format!("default-data-{NAME}"))
    );
    let csi = spec(nfs::CSI_DRIVER_NFS, &[]).unwrap();
    assert_eq!((csi.on_delete, csi.make.marker.directory), (OnDelete::Delete, NAME.to_owned()));
    let own = spec(nfs::DRIVER, &[]).unwrap();
    assert_eq!((own.on_delete, own.make.mode, own.make.uid), (OnDelete::Delete, 0o777, None));
    let helm =
        Spec::parse(&request(nfs::SUBDIR_PROVISIONER, &[("nfs.server", "10.0.0.1"), ("nfs.path", "/x")]))
            .unwrap();
    assert_eq!(helm.share.to_string(), "10.0.0.1:/x");
}

#[test]
fn what_becomes_of_the_directory_is_the_classs_word() {
    let rows = [
        (&[("archiveOnDelete", "false")][..], OnDelete::Delete),
        (&[("archiveOnDelete", "true")], OnDelete::Archive),
        (&[("onDelete", "retain"), ("archiveOnDelete", "true")], OnDelete::Retain),
        (&[("onDelete", "delete")], OnDelete::Delete),
        (&[("onDelete", "archive")], OnDelete::Archive),
    ];
    for (parameters, wanted) in rows {
        let spec = spec(nfs::SUBDIR_PROVISIONER, parameters).unwrap();
        assert_eq!(spec.on_delete, wanted, "{parameters:?}");
        assert_eq!(spec.make.adopt, wanted == OnDelete::Retain, "only what stays may have been there");
    }
}

#[test]
fn owner_and_mode_are_numbers() {
    let asked = spec(nfs::DRIVER, &[("uid", "1000"), ("gid", "2000"), ("mode", "0750")]).unwrap().make;
    assert_eq!((asked.uid, asked.gid, asked.mode), (Some(1000), Some(2000), 0o750));
    assert_eq!(spec(nfs::CSI_DRIVER_NFS, &[("mountPermissions", "0")]).unwrap().make.mode, 0o777);
    assert_eq!(spec(nfs::CSI_DRIVER_NFS, &[("mountPermissions", "0755")]).unwrap().make.mode, 0o755);
    for (name, value) in [
        ("uid", "root"),
        ("uid", "-1"),
        ("uid", "+1"),
        ("gid", "4294967295"),
        ("gid", "99999999999"),
        ("mode", "rwx"),
        ("mode", "0999"),
        ("mode", "100000"),
    ] {
        let why = spec(nfs::DRIVER, &[(name, value)]).unwrap_err();
        assert!(why.contains(name), "{name}={value}: {why}");
    }
}

#[test]
fn a_class_that_does_not_say_where_is_told_how() {
    let why = Spec::parse(&request(nfs::SUBDIR_PROVISIONER, &[("archiveOnDelete", "false")])).unwrap_err();
    assert!(why.contains("server: nfs.example.org") && why.contains("environment"), "{why}");
    let why = Spec::parse(&request(nfs::DRIVER, &[("server", "nfs")])).unwrap_err();
    assert!(why.contains("share: /srv/nfs"), "{why}");
    for (name, value, named) in [
        ("servr", "x", "servr"),
        ("onDelete", "keep", "keep"),
        ("archiveOnDelete", "yes", "yes"),
        ("nfs.server", "other", "leave one of them out"),
        ("path", "/x", "leave one of them out"),
    ] {
        let why = spec(nfs::DRIVER, &[(name, value)]).unwrap_err();
        assert!(why.contains(named), "{why}");
    }
    let both = spec(nfs::DRIVER, &[("pathPattern", "a"), ("subDir", "b")]).unwrap_err();
    assert!(both.contains("pathPattern and subDir"), "{both}");
}

#[test]
fn the_attributes_hold_all_that_removing_needs() {
    let mut request = request(nfs::DRIVER, &[("server", "nfs"), ("share", "/srv"), ("onDelete", "archive")]);
    request.mount_options = vec!["nfsvers=4.2".into(), "port=22049".into()];
    let attributes = Spec::parse(&request).unwrap().attributes();
    assert_eq!(attributes["subDir"], format!("default-data-{NAME}"));
    assert_eq!(
        (attributes["onDelete"].as_str(), attributes["mountOptions"].as_str()),
        ("archive", "nfsvers=4.2,port=22049")
    );
    request.mount_options = vec!["bg".into()];
    assert!(Spec::parse(&request).unwrap_err().contains("\"bg\""));
}
