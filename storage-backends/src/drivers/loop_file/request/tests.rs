//! What is taken and what is refused, and how.

use std::{collections::BTreeMap, time::Duration};

use super::*;

const NAME: &str = "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77";

fn request(bytes: u64, parameters: &[(&str, &str)]) -> Create {
    Create {
        name: NAME.into(),
        bytes,
        fs_type: None,
        parameters: parameters
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect::<BTreeMap<_, _>>(),
        deadline: Duration::from_secs(1),
        ..Create::default()
    }
}

/// Of a node with the pools `default` and `fast`.
fn pools() -> Pools {
    let host: std::sync::Arc<dyn crate::host::Host> = std::sync::Arc::new(crate::host::fake::Fake::default());
    let node = || super::super::Node { name: "n".into(), boot: "b".into() };
    let pool = || super::super::Pool::private(host.clone(), "/pool".into(), "1f".into(), node());
    let mut fast = pool();
    fast.name = "fast".into();
    Pools::new([pool(), fast], BTreeMap::new())
}

#[test]
fn handles_are_pvc_and_a_uid_and_never_a_path() {
    let handle = Handle::parse(NAME).unwrap();
    assert_eq!(handle.to_string(), NAME);
    assert_eq!(handle.uuid(), "0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77");
    assert_eq!(Handle::of_file("default", &handle.file_name()), Some(handle.clone()));
    assert_eq!(Handle::of_making("default", &handle.making_name()), Some(handle));
    let fast = Handle::parse(&format!("fast/{NAME}")).unwrap();
    assert_eq!((fast.pool(), fast.file_name()), ("fast", format!("{NAME}.img")));
    assert_eq!(Handle::of_owner("fast", &fast.owner_name()), Some(fast));
    for text in [
        "",
        "pvc-",
        "vol-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "pvc-0B6AD0F6-94A5-4B0E-A8C4-3D1B8D1F2A77",
        "pvc-0b6ad0f694a54b0ea8c43d1b8d1f2a77",
        "pvc-{0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77}",
        "pvc-00000000-0000-0000-0000-000000000000",
        "pvc-../../etc/passwd",
        "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77/x",
        " pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "default/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "../pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "fast/../pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "fast/fast/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
        "Fast/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77",
    ] {
        let why = Handle::parse(text).unwrap_err();
        assert!(why.contains("volumeHandle"), "{why}");
    }
}

#[test]
fn sizes_are_rounded_up_to_blocks_and_never_down() {
    for (asked, real) in
        [(8 << 20, 8 << 20), ((8 << 20) + 1, (8 << 20) + 4096), (1 << 30, 1 << 30), ((1 << 30) - 1, 1 << 30)]
    {
        assert_eq!(Spec::parse(&request(asked, &[]), &pools()).unwrap().bytes, real);
    }
}

#[test]
fn sizes_that_cannot_be_had() {
    for (bytes, parameters, code, word) in [
        (0, &[][..], Code::InvalidArgument, "0 bytes"),
        (1 << 20, &[], Code::OutOfRange, "8 MiB"),
        (100 << 20, &[("fsType", "xfs")], Code::OutOfRange, "300 MiB"),
        (u64::MAX, &[], Code::OutOfRange, "more than any file"),
        (i64::MAX as u64 + 1, &[], Code::OutOfRange, "more than any file"),
    ] {
        let (found, why) = Spec::parse(&request(bytes, parameters), &pools()).unwrap_err();
        assert_eq!(found, code);
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn parameters() {
    let spec = Spec::parse(&request(1 << 30, &[]), &pools()).unwrap();
    assert_eq!((spec.fs_type, spec.thick, spec.overcommit), (FsType::Ext4, false, Overcommit(1000)));
    let all = [("fsType", "xfs"), ("provisioning", "thick"), ("overcommit", "2.5")];
    let spec = Spec::parse(&request(1 << 30, &all), &pools()).unwrap();
    assert_eq!((spec.fs_type, spec.thick, spec.overcommit), (FsType::Xfs, true, Overcommit(2500)));
    let spec = Spec::parse(&request(1 << 30, &[("csi.storage.k8s.io/fstype", "xfs")]), &pools()).unwrap();
    assert_eq!(spec.fs_type, FsType::Xfs);
    for (name, value, word) in [
        ("fstype", "ext4", "\"fstype\" is not known"),
        ("fsType", "btrfs", "neither ext4 nor xfs"),
        ("provisioning", "thin", "neither sparse nor thick"),
        ("overcommit", "0", "0.001 to 1000"),
        ("overcommit", "-1", "0.001 to 1000"),
        ("overcommit", "1.0001", "0.001 to 1000"),
        ("overcommit", "many", "0.001 to 1000"),
        ("overcommit", "1.", "0.001 to 1000"),
    ] {
        let (code, why) = Spec::parse(&request(1 << 30, &[(name, value)]), &pools()).unwrap_err();
        assert_eq!(code, Code::InvalidArgument);
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn the_pool_is_part_of_the_handle() {
    let of = |parameters: &[(&str, &str)]| Spec::parse(&request(1 << 30, parameters), &pools());
    assert_eq!(of(&[]).unwrap().handle.to_string(), NAME);
    assert_eq!(of(&[("pool", "default")]).unwrap().handle.to_string(), NAME);
    assert_eq!(of(&[("pool", "fast")]).unwrap().handle.to_string(), format!("fast/{NAME}"));
    let (code, why) = of(&[("pool", "slow")]).unwrap_err();
    assert_eq!(code, Code::InvalidArgument);
    for part in ["parameter pool \"slow\"", "it has default, fast", "--pool slow=DIR"] {
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn two_different_types_are_refused() {
    let mut asked = request(1 << 30, &[("fsType", "xfs")]);
    asked.fs_type = Some("ext4".into());
    let (code, why) = Spec::parse(&asked, &pools()).unwrap_err();
    assert_eq!(code, Code::InvalidArgument);
    assert!(why.contains("more than one"), "{why}");
    asked.fs_type = Some("xfs".into());
    assert_eq!(Spec::parse(&asked, &pools()).unwrap().fs_type, FsType::Xfs);
}

#[test]
fn overcommit_is_exact() {
    assert_eq!(Overcommit::parse("1.5").unwrap().of(3), 4);
    assert_eq!(Overcommit::parse("1000").unwrap().of(u64::MAX), u64::MAX);
    for (text, shown) in [("1", "1.0"), ("1.0", "1.0"), ("2.50", "2.5"), ("0.001", "0.001")] {
        assert_eq!(Overcommit::parse(text).unwrap().to_string(), shown);
    }
}

#[test]
fn bytes_for_people() {
    for (bytes, shown) in [
        (0, "0 bytes"),
        (4096, "4 KiB"),
        (1 << 30, "1 GiB"),
        (3 << 29, "1.50 GiB"),
        (u64::MAX, "16383.99 PiB"),
    ] {
        assert_eq!(human(bytes), shown);
    }
}

proptest::proptest! {
    #[test]
    fn no_handle_leaves_the_pool(text in ".{0,60}") {
        if let Ok(handle) = Handle::parse(&text) {
            proptest::prop_assert_eq!(handle.to_string(), text);
        }
    }

    #[test]
    fn never_less_than_asked_for_and_never_a_block_more(bytes in (8u64 << 20)..=i64::MAX as u64 - BLOCK) {
        let real = Spec::parse(&request(bytes, &[]), &pools()).unwrap().bytes;
        proptest::prop_assert!(real >= bytes && real - bytes < BLOCK && real.is_multiple_of(BLOCK));
    }
}
