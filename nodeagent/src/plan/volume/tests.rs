//! The table of the module, row for row.

use orlop_backends::driver::{Attach as Where, Served};

use super::{
    Attachment,
    Attachment::{Deleted, Wanted},
    Look, SHUT_OUT, Seen, Step,
    Step::{
        Attach, DeleteData, Detach, Export, Forget, ForgetMaking, Make, ReleaseAttachment, ReleaseVolume,
        Report, Serve, Stage, Tell, Unmake, Unserve, Unstage,
    },
    Want, is_given, plan,
};

const NODE: Option<Where> = Some(Where::Node);
const NOWHERE: Option<Where> = Some(Where::None);

fn want(attachment: Option<Attachment>, users: usize) -> Want {
    Want { attach: NODE, attachment, users, exists: true, ..Want::default() }
}

fn seen(attached: bool, staged: bool, published: usize) -> Seen {
    Seen {
        attached,
        staged,
        published,
        touched: attached || staged,
        making: false,
        served: Served::default(),
    }
}

fn steps(want: &Want, seen: Seen) -> Vec<Step> {
    let plan = plan(want, &Look::Seen(seen));
    assert_eq!(plan.wait, None);
    plan.steps
}

fn waits(want: &Want, seen: Seen) -> bool {
    let plan = plan(want, &Look::Seen(seen));
    plan.steps.is_empty() && plan.wait.is_some()
}

#[test]
fn any_volume_waits_when_a_look_failed() {
    for attachment in [None, Some(Wanted { reported: false }), Some(Deleted { held: true })] {
        let plan = plan(&want(attachment, 1), &Look::Unknown("EIO".into()));
        assert!(plan.steps.is_empty() && plan.wait.is_some());
    }
}

#[test]
fn a_wanted_volume_is_attached_reported_and_staged_for_its_users() {
    let fresh = Some(Wanted { reported: false });
    let told = Some(Wanted { reported: true });
    assert_eq!(steps(&want(fresh, 1), seen(false, false, 0)), [Attach, Report, Stage]);
    assert_eq!(steps(&want(fresh, 0), seen(false, false, 0)), [Attach, Report]);
    assert_eq!(steps(&want(fresh, 1), seen(true, true, 0)), [Report]);
    assert_eq!(steps(&want(told, 1), seen(true, false, 0)), [Stage]);
    assert_eq!(steps(&want(told, 1), seen(true, true, 1)), []);
    assert_eq!(steps(&want(told, 1), seen(false, true, 1)), [Attach]);
}

#[test]
fn without_users_it_is_unstaged_once_it_is_published_to_nobody() {
    let told = Some(Wanted { reported: true });
    assert_eq!(steps(&want(told, 0), seen(true, true, 0)), [Unstage]);
    assert!(waits(&want(told, 0), seen(true, true, 1)));
    assert_eq!(steps(&want(told, 0), seen(true, false, 0)), []);
}

#[test]
fn an_unwanted_volume_goes_once_it_is_published_to_nobody() {
    let rows = [
        (None, None),
        (Some(Deleted { held: true }), Some(ReleaseAttachment)),
        (Some(Deleted { held: false }), None),
    ];
    for (attachment, last) in rows {
        assert!(waits(&want(attachment, 0), seen(true, true, 1)));
        let mut all = vec![Unstage, Detach, Forget];
        all.extend(last);
        assert_eq!(steps(&want(attachment, 0), seen(true, true, 0)), all);
        assert_eq!(steps(&want(attachment, 0), seen(false, true, 0)), all);
        assert_eq!(steps(&want(attachment, 0), seen(false, false, 0)), last.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_volume_that_the_journal_alone_knows_is_looked_after() {
    let touched = Seen { touched: true, ..seen(false, false, 0) };
    assert_eq!(steps(&want(None, 0), touched), [Unstage, Detach, Forget]);
}

#[test]
fn a_driver_that_attaches_nowhere_stages_for_users_alone() {
    let rows = [(1, false, vec![Attach, Stage]), (0, true, vec![Unstage, Detach, Forget])];
    for (users, staged, expected) in rows {
        let want = Want { attach: NOWHERE, ..want(None, users) };
        assert_eq!(steps(&want, seen(false, staged, 0)), expected);
    }
}

#[test]
fn a_pod_gets_only_what_is_given_to_this_node() {
    for attach in [NODE, NOWHERE, Some(Where::Controller), None] {
        for reported in [false, true] {
            assert!(is_given(attach, Some(Wanted { reported })), "{attach:?}");
        }
        for held in [false, true] {
            assert!(!is_given(attach, Some(Deleted { held })), "{attach:?}");
        }
        assert_eq!(is_given(attach, None), attach == NOWHERE, "{attach:?}");
    }
}

#[test]
fn making_and_removing() {
    let none = seen(false, false, 0);
    let begun = Seen { making: true, ..none.clone() };
    let row = |making, exists, to_delete| Want { attach: NODE, making, exists, to_delete, ..Want::default() };
    assert_eq!(steps(&row(true, false, false), none.clone()), [Make]);
    assert_eq!(steps(&row(true, false, false), begun.clone()), [Make]);
    assert_eq!(steps(&row(false, false, false), begun.clone()), [Unmake]);
    assert_eq!(steps(&row(false, true, false), begun), [ForgetMaking]);
    assert_eq!(steps(&row(true, true, false), none.clone()), []);
    assert_eq!(steps(&row(false, true, true), none.clone()), [DeleteData, ReleaseVolume]);
    assert_eq!(
        steps(&row(false, true, true), seen(true, true, 0)),
        [Unstage, Detach, Forget, DeleteData, ReleaseVolume]
    );
    assert!(waits(&row(false, true, true), seen(true, true, 1)));
    assert_eq!(steps(&row(false, false, false), none), []);
}

const UP: Served = Served { up: true, exported: false, touched: true };
const EXPORTED: Served = Served { exported: true, ..UP };

fn kept(users: usize, told: bool) -> Want {
    Want { attach: NOWHERE, keep: true, told, ..want(None, users) }
}

fn served(attached: bool, staged: bool, served: Served) -> Seen {
    Seen { served, ..seen(attached, staged, 0) }
}

#[test]
fn what_is_kept_here_is_served_first_and_exported_last() {
    assert_eq!(steps(&kept(0, false), served(false, false, Served::default())), [Serve, Export]);
    assert_eq!(
        steps(&kept(1, false), served(false, false, Served::default())),
        [Serve, Attach, Stage, Export]
    );
    assert_eq!(steps(&kept(0, false), served(false, false, UP)), [Export]);
    assert_eq!(steps(&kept(1, false), served(true, true, EXPORTED)), [Tell]);
    assert_eq!(steps(&kept(1, true), served(true, true, EXPORTED)), []);
    assert_eq!(steps(&kept(0, true), served(true, true, EXPORTED)), [Unstage, Detach, Forget]);
    let fell = Served { up: false, ..EXPORTED };
    assert_eq!(
        steps(&kept(0, true), served(false, false, fell)),
        [Serve],
        "a mount that fell off comes back"
    );
}

#[test]
fn what_is_not_kept_here_any_more_is_not_served() {
    let unwanted = Want { attach: NOWHERE, ..want(None, 0) };
    assert_eq!(steps(&unwanted, served(false, false, EXPORTED)), [Unserve]);
    assert_eq!(steps(&unwanted, served(true, true, EXPORTED)), [Unstage, Detach, Forget, Unserve]);
    let to_go = Want { to_delete: true, ..unwanted.clone() };
    assert_eq!(steps(&to_go, served(false, false, UP)), [Unserve, DeleteData, ReleaseVolume]);
    let published = Seen { published: 1, ..served(true, true, EXPORTED) };
    assert!(waits(&to_go, published), "not below a pod");
    let gone = Want { exists: false, ..unwanted };
    assert_eq!(steps(&gone, served(false, false, UP)), [Unserve], "its data stays");
}

#[test]
fn a_node_that_its_keeper_does_not_let_in_waits() {
    let out = Want { attach: NOWHERE, shut_out: true, ..want(None, 1) };
    let plan = plan(&out, &Look::Seen(seen(false, false, 0)));
    assert_eq!((plan.steps, plan.wait), (vec![Attach], Some(SHUT_OUT)));
    assert_eq!(steps(&out, seen(true, true, 1)), [], "what is staged stays");
}
