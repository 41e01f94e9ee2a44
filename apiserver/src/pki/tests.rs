//! The life of the certificates.

use std::os::unix::fs::PermissionsExt;

use super::*;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
const THIRD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn at(days: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().expect("is a time");
    start.checked_add((days * 24).hours()).expect("is in range")
}

#[test]
fn the_serving_certificate_is_made_anew_when_it_must_be() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let ensure = |addresses: &[IpAddr], day| {
        let pki = Pki::ensure_with(dir.path(), &["localhost"], addresses, Arc::new(move || at(day)));
        let pki = pki.expect("is made");
        (pki.ca.clone(), std::fs::read_to_string(dir.path().join("server.crt")).expect("is there"))
    };
    let (ca, first) = ensure(&[LOCAL], 0);
    let rows = [
        ("nothing changed", vec![LOCAL], 300, true),
        ("29 days left", vec![LOCAL], 336, false),
        ("another address", vec![LOCAL, OTHER], 336, false),
        ("nothing changed again", vec![OTHER, LOCAL], 337, true),
    ];
    let mut last = first;
    for (case, addresses, day, same) in rows {
        let (again, serving) = ensure(&addresses, day);
        assert_eq!(again, ca, "{case}: the authority stays");
        assert_eq!(serving == last, same, "{case}");
        last = serving;
    }
}

#[test]
fn keys_are_private_and_damage_is_told() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let dir = dir.path().join("pki");
    Pki::ensure(&dir, &["localhost"], &[LOCAL]).expect("is made");
    let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["ca.key", "server.key"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    std::fs::remove_file(dir.join("ca.key")).expect("was there");
    let error = Pki::ensure(&dir, &["localhost"], &[LOCAL]).err().expect("is refused").to_string();
    assert!(error.contains("ca.key is damaged (it is missing): remove"), "{error}");
}

#[test]
fn a_client_certificate_says_who() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let pki = Pki::ensure(dir.path(), &["localhost"], &[LOCAL]).expect("is made");
    let client = pki.client_certificate("system:node:laptop", "system:nodes").expect("is signed");
    let der = pem(&client.certificate).expect("is PEM");
    let identity = crate::Identity::from_certificate(&der[0]).expect("names somebody");
    let wanted = crate::Identity::node("laptop");
    assert_eq!((&identity.user, &identity.groups), (&wanted.user, &wanted.groups));
    assert!(identity.key().is_some_and(|key| key.starts_with("sha256:")));
}

#[test]
fn a_kubeconfig_stays_until_it_must_change() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let file = dir.path().join("admin.kubeconfig");
    let write = |day, url: &str, user: &str| {
        let pki =
            Pki::ensure_with(&dir.path().join("pki"), &["localhost"], &[LOCAL], Arc::new(move || at(day)));
        let pki = pki.expect("is made");
        pki.write_kubeconfig(&file, url, user, crate::MASTERS).expect("is written");
        std::fs::read_to_string(&file).expect("is there")
    };
    let mut last = write(0, "https://a:1", "admin");
    let rows = [
        ("nothing changed", 300, "https://a:1", "admin", true),
        ("another address", 300, "https://a:2", "admin", false),
        ("another user", 300, "https://a:2", "root", false),
        ("nothing changed again", 301, "https://a:2", "root", true),
        ("29 days left", 636, "https://a:2", "root", false),
    ];
    for (case, day, url, user, same) in rows {
        let now = write(day, url, user);
        assert_eq!(now == last, same, "{case}");
        last = now;
    }
    std::fs::write(&file, "damaged").expect("is written");
    assert!(write(636, "https://a:2", "root").contains("https://a:2"));
}

#[test]
fn the_serving_certificate_is_renewed_while_the_server_runs() {
    use std::sync::atomic::{AtomicI64, Ordering};
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let day = Arc::new(AtomicI64::new(0));
    let clock = day.clone();
    let clock: Clock = Arc::new(move || at(clock.load(Ordering::Relaxed)));
    let pki = Pki::ensure_with(dir.path(), &["localhost"], &[LOCAL], clock).expect("is made");
    let rows = [
        ("nothing changed", 0, vec![LOCAL], false),
        ("31 days left", 334, vec![LOCAL], false),
        ("29 days left", 336, vec![LOCAL], true),
        ("nothing changed again", 337, vec![LOCAL], false),
        ("another address beside it", 337, vec![LOCAL, OTHER], true),
        ("the same ones", 338, vec![OTHER, LOCAL], false),
        ("one is gone, and stays shown", 338, vec![OTHER], false),
        ("it is back", 339, vec![LOCAL, OTHER], false),
        ("one is gone as a third one comes", 339, vec![LOCAL, THIRD], true),
        ("all are there", 340, vec![LOCAL, OTHER, THIRD], false),
        ("29 days left again", 675, vec![OTHER], true),
    ];
    for (case, now, addresses, wanted) in rows {
        day.store(now, Ordering::Relaxed);
        assert_eq!(pki.renew(&addresses).expect("can be written"), wanted, "{case}");
    }
    let shown = std::fs::read_to_string(dir.path().join("server.crt")).expect("is there");
    let names = issue::facts(&shown).expect("can be read").names;
    assert!(names.contains(&OTHER.to_string()) && !names.contains(&LOCAL.to_string()), "{names:?}");
    let many: Vec<IpAddr> = (0..40).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    assert!(pki.renew(&many).expect("can be written"));
    assert_eq!(with_former(&many, [OTHER.to_string()].iter()), many, "there is no room for former ones");
}
