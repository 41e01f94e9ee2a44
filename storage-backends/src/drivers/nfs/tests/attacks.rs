//! The table of attacks, on a real kernel: by every word that a class, a claim or a volume may say, and by what somebody
//! may have planted in the share. None leaves the share, none removes what is not its own, and each is refused in words.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{LONG, map, name, reference, request, root::Stand};
use crate::{
    driver::{Create, Driver, Error, Volume, VolumeRef},
    host::linux::scratch::can_run,
};

/// One attack.
enum Attack {
    /// A class's parameter.
    Parameter(&'static str, &'static str),
    /// A claim's annotation, in a class whose pattern asks for it.
    Annotation(&'static str),
    /// A claim's annotation, in a class whose pattern asks for it and which takes what is there already.
    Retained(&'static str),
    /// A claim's label, in a class whose pattern asks for it.
    Label(&'static str),
    /// A claim's namespace and name.
    Claim(&'static str, &'static str),
    /// A volume's name, or handle.
    Handle(&'static str),
    /// A volume's attribute, with which it is staged and deleted.
    Attribute(&'static str, &'static str),
    /// A mount option, of a class and of a volume.
    Option(&'static str),
}

use Attack::{Annotation, Attribute, Claim, Handle, Label, Option as MountOption, Parameter, Retained};

#[rustfmt::skip]
const ATTACKS: &[Attack] = &[
    Parameter("pathPattern", ".."), Parameter("pathPattern", "../outside"), Parameter("pathPattern", "a/../../outside"),
    Parameter("pathPattern", "/etc"), Parameter("pathPattern", "a//b"), Parameter("pathPattern", "a/./b"),
    Parameter("pathPattern", "."), Parameter("pathPattern", ".orlop"), Parameter("pathPattern", ".orlop/volumes/x"),
    Parameter("pathPattern", ".ORLOP/x"), Parameter("pathPattern", "a\n/b"), Parameter("pathPattern", "a+b"),
    Parameter("pathPattern", "${.PVC.name}/../../outside"), Parameter("pathPattern", "a b"), Parameter("pathPattern", "${..}"),
    Parameter("pathPattern", "a/"), Parameter("pathPattern", "link/x"), Parameter("pathPattern", "link"),
    Parameter("pathPattern", "up/outside/x"), Parameter("pathPattern", "file/x"), Parameter("pathPattern", "file"),
    Parameter("pathPattern", "unmarked"), Parameter("pathPattern", "victim"), Parameter("pathPattern", "victim/inner"),
    Parameter("subDir", ".."), Parameter("subDir", "../outside"), Parameter("subDir", "/outside"), Parameter("subDir", "a/../../outside"),
    Parameter("subDir", "..\\outside"), Parameter("subDir", "link/deep"),
    Parameter("share", "../outside"), Parameter("share", "/srv/nfs/../outside"), Parameter("share", "/srv/./nfs"), Parameter("share", "srv"),
    Parameter("share", "/srv\n"), Parameter("server", "-oport=1"), Parameter("server", "a,addr=10.0.0.1"), Parameter("server", "a b"),
    Parameter("server", "../outside"), Parameter("server", "nfs.example.org:/other"),
    Annotation(".."), Annotation("../outside"), Annotation("../../outside/deep"), Annotation("/etc"), Annotation(""), Annotation("a/../../outside"),
    Annotation(".orlop/removing/x"), Annotation("${.PVC.name}"), Annotation("a\0b"), Annotation("link/deep/x"), Annotation("victim/x"),
    Retained("above"), Retained("victim"), Retained("victim/x"), Retained(".orlop"),
    Label(".."), Label("."), Label(".orlop"),
    Claim("..", "x"), Claim("../..", "outside"), Claim("default", "../../outside"), Claim("a/..", ".."),
    Handle("../outside"), Handle("pvc-../../outside"), Handle("/etc"), Handle(""), Handle("nfs.example.org#/srv/nfs#../outside##"), Handle("pvc-1"),
    Attribute("subDir", ".."), Attribute("subDir", "../outside"), Attribute("subDir", "/"), Attribute("subDir", ""), Attribute("subDir", "a/../../outside"),
    Attribute("subDir", ".orlop"), Attribute("subDir", ".orlop/volumes"), Attribute("subDir", "link/deep"), Attribute("subDir", "up/outside"),
    Attribute("share", "/srv/nfs/.."), Attribute("share", "srv/nfs"), Attribute("server", "-x"), Attribute("server", "a,b"), Attribute("onDelete", "everything"),
    Attribute("mountOptions", "addr=10.0.0.1"), Attribute("export", "/etc"),
    MountOption("addr=10.0.0.1"), MountOption("bind"), MountOption("remount"), MountOption("x,source=/etc"), MountOption("nfsvers=4.2,bg"), MountOption("sec=krb5"),
];

#[tokio::test]
async fn root_no_attack_leaves_the_share() {
    if !can_run("root_no_attack_leaves_the_share") {
        return;
    }
    assert!(ATTACKS.len() >= 40);
    let stand = Stand::new();
    let victim = plant(&stand).await;
    let before = everything(&stand);
    for (number, attack) in (100..).zip(ATTACKS) {
        let (what, errors) = carry_out(&stand, attack, number, &victim).await;
        for error in errors {
            let error = error.expect_err(&format!("{what} is not refused"));
            assert!(error.message.len() > 20, "{what}: {error}");
        }
        assert_eq!(everything(&stand), before, "{what} changed something");
        assert_eq!(stand.mounts(), Vec::<String>::new(), "{what} left a mount");
    }
    // What names another volume's directory, or one that is nobody's, is neither shown nor removed, whoever asks.
    for directory in ["victim", "unmarked", "link", "file"] {
        for on_delete in ["delete", "archive", "retain"] {
            let mut forged = own(&victim, 99);
            forged.attributes.extend(map(&[("subDir", directory), ("onDelete", on_delete)]));
            stage(&stand, forged.clone(), &[]).await.expect_err(directory);
            let outcome = stand.driver.delete(forged).await;
            // What is nobody's is nobody's already: leaving it where it is needs no mark.
            let is_left = on_delete == "retain" && directory != "victim";
            assert!(is_left || outcome.is_err(), "{on_delete} of {directory}");
            assert_eq!(everything(&stand), before, "{on_delete} of {directory} changed something");
            assert_eq!(stand.mounts(), Vec::<String>::new(), "{directory} is not shown");
        }
    }
}

/// A volume with data, a directory of nobody's, and traps.
async fn plant(stand: &Stand) -> Volume {
    let share = stand.share();
    let victim = stand.driver.create(request(1, &[("pathPattern", "victim")])).await.unwrap();
    fs::write(share.join("victim/data"), b"victim").unwrap();
    stand.driver.create(request(2, &[("pathPattern", "above/victim")])).await.unwrap();
    fs::create_dir(share.join("unmarked")).unwrap();
    fs::write(share.join("unmarked/data"), b"unmarked").unwrap();
    fs::write(share.join("file"), b"file").unwrap();
    symlink("../outside", share.join("link")).unwrap();
    symlink("..", share.join("up")).unwrap();
    // A name with a sign that joins the parts of markers: it must not be taken for a marker of parts.
    fs::write(share.join("a+b"), b"").unwrap();
    victim
}

/// A volume of the attacker's own: its handle is right, its attributes are what he likes.
fn own(victim: &Volume, number: u32) -> VolumeRef {
    let mut own = reference(victim);
    own.handle = name(number);
    own
}

type Outcome = Result<(), Error>;

async fn carry_out(stand: &Stand, attack: &Attack, number: u32, victim: &Volume) -> (String, Vec<Outcome>) {
    let pattern = |pattern: &str| request(number, &[("pathPattern", pattern)]);
    match *attack {
        Parameter(parameter, value) => {
            let asked = request(number, &[(parameter, value)]);
            (format!("parameter {parameter} {value:?}"), vec![create(stand, asked).await])
        }
        Annotation(value) => {
            let mut asked = pattern("${.PVC.annotations.path}");
            asked.claim.annotations = map(&[("path", value)]);
            (format!("annotation {value:?}"), vec![create(stand, asked).await])
        }
        Retained(value) => {
            let parameters = [("pathPattern", "${.PVC.annotations.path}"), ("onDelete", "retain")];
            let mut asked = request(number, &parameters);
            asked.claim.annotations = map(&[("path", value)]);
            (format!("annotation {value:?}, retained"), vec![create(stand, asked).await])
        }
        Label(value) => {
            let mut asked = pattern("${.PVC.labels.path}");
            asked.claim.labels = map(&[("path", value)]);
            (format!("label {value:?}"), vec![create(stand, asked).await])
        }
        Claim(namespace, claim) => {
            let mut asked = pattern("${.PVC.namespace}/${.PVC.name}");
            (asked.claim.namespace, asked.claim.name) = (namespace.to_owned(), claim.to_owned());
            (format!("claim {namespace:?} {claim:?}"), vec![create(stand, asked).await])
        }
        Handle(handle) => {
            let mut asked = request(number, &[]);
            asked.name = handle.to_owned();
            let forged = VolumeRef {
                handle: handle.to_owned(),
                attributes: victim.attributes.clone(),
                deadline: LONG,
            };
            (
                format!("handle {handle:?}"),
                vec![
                    create(stand, asked).await,
                    stage(stand, forged.clone(), &[]).await,
                    stand.driver.delete(forged).await,
                ],
            )
        }
        Attribute(attribute, value) => {
            let mut forged = own(victim, number);
            forged.attributes.insert(attribute.to_owned(), value.to_owned());
            (
                format!("attribute {attribute} {value:?}"),
                vec![stage(stand, forged.clone(), &[]).await, stand.driver.delete(forged).await],
            )
        }
        MountOption(option) => {
            let mut asked = request(number, &[]);
            asked.mount_options = vec![option.to_owned()];
            (
                format!("option {option:?}"),
                vec![create(stand, asked).await, stage(stand, reference(victim), &[option]).await],
            )
        }
    }
}

async fn create(stand: &Stand, asked: Create) -> Outcome {
    stand.driver.create(asked).await.map(drop)
}

async fn stage(stand: &Stand, volume: VolumeRef, options: &[&str]) -> Outcome {
    let mut stage = stand.stage(
        &Volume {
            handle: String::new(),
            bytes: 1,
            attributes: [].into(),
            reach: crate::driver::Reach::Everywhere,
        },
        options,
    );
    stage.volume = volume;
    stand.driver.stage(stage).await
}

/// All that is in the share and beside it, with its content; our own scratch directories, which may come, left out.
fn everything(stand: &Stand) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    walk(stand.share().parent().unwrap(), &mut all);
    all.retain(|(path, _)| !path.ends_with(".orlop/removing"));
    all.sort();
    all
}

fn walk(directory: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            all.push((path.clone(), Vec::new()));
            walk(&path, all);
        } else if kind.is_file() {
            all.push((path.clone(), fs::read(&path).unwrap()));
        } else {
            all.push((path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
        }
    }
}
