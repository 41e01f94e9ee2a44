//! The table of the module, row for row.

use super::{Step::*, *};
use crate::plan::container::Exit;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(name: &str, attempt: u32) -> ContainerId {
    ContainerId::new("u", name, attempt)
}

fn container(name: &str, init: bool, state: State) -> Container {
    Container { name: name.into(), init, streak: state.attempt(), state }
}

fn ended(attempt: u32, code: i32) -> State {
    State::Ended {
        attempt,
        exit: Exit { code: Some(code), oom: false, started: Some(at(90)), at: Some(at(95)) },
    }
}

fn want(goal: Goal, policy: RestartPolicy, containers: Vec<Container>, volumes: Vec<(&str, Source)>) -> Want {
    let volumes = volumes.into_iter().map(|(name, source)| Volume { name: name.into(), source }).collect();
    Want { uid: "u".into(), goal, policy, containers, volumes, wire: Wire::None }
}

fn run_want(state: State, volumes: Vec<(&str, Source)>) -> Want {
    want(Goal::Run, RestartPolicy::Always, vec![container("c", false, state)], volumes)
}

fn ready() -> Source {
    Source::Ready { volume: "pv".into() }
}

fn prepared() -> Attempt {
    Attempt { status: None, mounted: true, bundle: true, dir: true, oom: false }
}

fn with(status: ContainerStatus) -> Attempt {
    Attempt { status: Some(status), ..prepared() }
}

fn seen(attempts: Vec<(ContainerId, Attempt)>) -> Seen {
    Seen {
        pinned: true,
        pins: ["net".to_owned()].into(),
        place: true,
        logs: true,
        attempts: attempts.into_iter().collect(),
        ..Seen::default()
    }
}

fn groups(want: &Want, seen: &Seen) -> Vec<Vec<Step>> {
    plan(want, &Look::Seen(seen.clone()), at(100)).groups
}

const EXITED: ContainerStatus = ContainerStatus::Exited { code: Some(1), at: Some(95) };

#[test]
fn any_pod_waits_when_a_look_failed() {
    for goal in [Goal::Run, Goal::Rest, Goal::Stop { deadline: at(0) }] {
        let want = want(goal, RestartPolicy::Always, vec![container("c", false, State::New)], Vec::new());
        let plan = plan(&want, &Look::Unknown("EIO".into()), at(100));
        assert!(plan.is_idle() && !plan.gone && plan.waits == ["EIO"]);
    }
}

#[test]
fn a_new_pod_is_built_side_by_side_and_launched() {
    let volumes = vec![("data", ready()), ("tmp", Source::Empty { memory: false }), ("host", Source::Host)];
    assert_eq!(
        groups(&run_want(State::New, volumes), &Seen::default()),
        [
            vec![
                Pin,
                Publish("data".into()),
                MakeEmpty("tmp".into()),
                BindHost("host".into()),
                Prepare(id("c", 0))
            ],
            vec![Launch(id("c", 0))],
        ]
    );
}

#[test]
fn a_pod_that_waits_for_a_volume_is_prepared_and_not_launched() {
    let want = run_want(State::New, vec![("data", Source::Waiting("not bound".into()))]);
    let plan = plan(&want, &Look::Seen(Seen::default()), at(100));
    assert_eq!(plan.groups, [vec![Pin, Prepare(id("c", 0))]]);
    assert_eq!(plan.waits, ["not bound"]);
}

#[test]
fn a_pod_gets_its_cable_with_its_namespaces_or_later() {
    let prepared_state = State::Prepared { attempt: 0, created: false };
    let wired = |wire| Want { wire, ..run_want(prepared_state.clone(), Vec::new()) };
    let mut here = seen(vec![(id("c", 0), prepared())]);
    assert_eq!(groups(&wired(Wire::None), &here), [vec![Launch(id("c", 0))]]);
    assert_eq!(groups(&wired(Wire::Cable), &here), [vec![Connect], vec![Launch(id("c", 0))]]);
    here.connected = true;
    assert_eq!(groups(&wired(Wire::Cable), &here), [vec![Launch(id("c", 0))]]);
    let (new, unknown) = (run_want(State::New, Vec::new()), Wire::Unknown("no range".into()));
    assert_eq!(
        groups(&Want { wire: Wire::Cable, ..new.clone() }, &Seen::default())[0],
        [Pin, Prepare(id("c", 0))]
    );
    let plan = plan(&Want { wire: unknown, ..new }, &Look::Seen(Seen::default()), at(100));
    assert_eq!((plan.groups, plan.waits), (vec![vec![Pin]], vec!["no range".to_owned()]));
    let gone = want(Goal::Stop { deadline: at(0) }, RestartPolicy::Always, Vec::new(), Vec::new());
    assert_eq!(groups(&gone, &Seen { cable: true, ..Seen::default() }), [vec![Unpin]]);
}

#[test]
fn a_pod_whose_volume_is_not_known_yet_is_not_prepared() {
    let want = run_want(State::New, vec![("data", Source::Unknown("no claim".into()))]);
    let plan = plan(&want, &Look::Seen(Seen::default()), at(100));
    assert_eq!((plan.groups, plan.waits), (vec![vec![Pin]], vec!["no claim".to_owned()]));
}

#[test]
fn only_what_is_missing_is_built() {
    let prepared_state = State::Prepared { attempt: 0, created: false };
    let mut here = seen(vec![(id("c", 0), prepared())]);
    here.published.insert("pv".into());
    let want = run_want(prepared_state, vec![("data", ready())]);
    assert_eq!(groups(&want, &here), [vec![Launch(id("c", 0))]]);
    here.pinned = false;
    assert_eq!(groups(&want, &here), [vec![Pin], vec![Launch(id("c", 0))]]);
    let memory =
        run_want(State::Running { attempt: 0, since: None }, vec![("m", Source::Empty { memory: true })]);
    let mut here = seen(vec![(id("c", 0), with(ContainerStatus::Running))]);
    here.empty.insert("m".into());
    assert_eq!(groups(&memory, &here), [vec![MakeEmpty("m".into())]]);
    here.memory.insert("m".into());
    assert!(groups(&memory, &here).is_empty());
    let host = run_want(State::Running { attempt: 0, since: None }, vec![("h", Source::Host)]);
    here.host_places.insert("h".into());
    assert_eq!(groups(&host, &here), [vec![BindHost("h".into())]]);
    here.host.insert("h".into());
    assert!(groups(&host, &here).is_empty());
}

#[test]
fn a_running_pod_is_left_alone() {
    let want = run_want(State::Running { attempt: 2, since: None }, Vec::new());
    let here = seen(vec![
        (id("c", 1), Attempt { status: Some(EXITED), ..Attempt::default() }),
        (id("c", 2), with(ContainerStatus::Running)),
    ]);
    assert!(groups(&want, &here).is_empty());
}

#[test]
fn an_ended_container_is_cleaned_and_restarted_after_its_back_off() {
    let here = seen(vec![(id("c", 0), with(EXITED))]);
    assert_eq!(
        groups(&run_want(ended(0, 1), Vec::new()), &here),
        [vec![Clean(id("c", 0))], vec![Prepare(id("c", 1))], vec![Launch(id("c", 1))]]
    );
    let again = seen(vec![(id("c", 1), with(EXITED))]);
    let plan = plan(&run_want(ended(1, 1), Vec::new()), &Look::Seen(again), at(100));
    assert_eq!((plan.groups, plan.until), (vec![vec![Clean(id("c", 1))]], Some(at(105))));
}

#[test]
fn one_earlier_attempt_stays_on_record() {
    let record = || Attempt { status: Some(EXITED), ..Attempt::default() };
    let here = seen(vec![
        (id("c", 0), record()),
        (id("c", 1), record()),
        (id("c", 2), with(ContainerStatus::Running)),
    ]);
    let want = run_want(State::Running { attempt: 2, since: None }, Vec::new());
    assert_eq!(groups(&want, &here), [vec![Forget { id: id("c", 0), log: true }]]);
}

#[test]
fn init_containers_run_one_after_another_before_the_others() {
    let three = |first, second| {
        let all = vec![
            container("i", true, first),
            container("j", true, second),
            container("c", false, State::New),
        ];
        groups(&want(Goal::Run, RestartPolicy::Always, all, Vec::new()), &seen(Vec::new()))
    };
    let start = |name| [vec![Prepare(id(name, 0))], vec![Launch(id(name, 0))]];
    assert_eq!(three(State::New, State::New), start("i"));
    assert!(three(State::Running { attempt: 0, since: None }, State::New).is_empty());
    assert_eq!(three(ended(0, 0), State::New), start("j"));
    assert_eq!(three(ended(0, 0), ended(0, 0)), start("c"));
}

#[test]
fn a_pod_whose_containers_are_done_rests() {
    let rows = [
        (RestartPolicy::Never, 1, true),
        (RestartPolicy::Never, 0, true),
        (RestartPolicy::OnFailure, 0, true),
        (RestartPolicy::OnFailure, 1, false),
        (RestartPolicy::Always, 0, false),
    ];
    for (policy, code, done) in rows {
        let want = want(Goal::Run, policy, vec![container("c", false, ended(0, code))], Vec::new());
        assert_eq!(all_done(&want), done, "{policy:?} {code}");
    }
    let failed = vec![container("i", true, ended(0, 1)), container("c", false, State::New)];
    assert!(all_done(&want(Goal::Run, RestartPolicy::Never, failed, Vec::new())));
    let mut here = seen(vec![(id("c", 0), with(EXITED))]);
    here.published.insert("pv".into());
    let want = want(
        Goal::Run,
        RestartPolicy::Never,
        vec![container("c", false, ended(0, 1))],
        vec![("data", ready())],
    );
    assert_eq!(
        groups(&want, &here),
        [vec![Clean(id("c", 0))], vec![Unpublish("pv".into())], vec![Unpin, RemovePlace]]
    );
}

#[test]
fn stopping_asks_once_waits_and_kills_at_the_deadline() {
    let stop =
        |deadline| want(Goal::Stop { deadline: at(deadline) }, RestartPolicy::Always, Vec::new(), Vec::new());
    let mut here = seen(vec![(id("c", 0), with(ContainerStatus::Running)), (id("d", 0), with(EXITED))]);
    let signal = |kill| vec![vec![Signal { id: id("c", 0), kill }]];
    assert_eq!(groups(&stop(130), &here), signal(false));
    here.asked.insert(id("c", 0), false);
    let waiting = plan(&stop(130), &Look::Seen(here.clone()), at(100));
    assert!(waiting.is_idle() && !waiting.gone && waiting.until == Some(at(130)));
    assert_eq!(groups(&stop(100), &here), signal(true));
    here.asked.insert(id("c", 0), true);
    let killed = plan(&stop(100), &Look::Seen(here), at(100));
    assert!(killed.is_idle() && !killed.gone);
}

#[test]
fn a_stopped_pod_is_taken_down_deepest_first_and_then_gone() {
    let stop = want(Goal::Stop { deadline: at(130) }, RestartPolicy::Always, Vec::new(), Vec::new());
    let mut here = seen(vec![(id("c", 0), with(EXITED)), (id("d", 0), with(ContainerStatus::Created))]);
    here.published.insert("pv".into());
    here.empty.insert("tmp".into());
    here.host_places.insert("host".into());
    assert_eq!(
        groups(&stop, &here),
        [
            vec![Clean(id("c", 0)), Clean(id("d", 0))],
            vec![Unpublish("pv".into()), RemoveEmpty("tmp".into()), UnbindHost("host".into())],
            vec![
                Unpin,
                RemovePlace,
                Forget { id: id("c", 0), log: false },
                Forget { id: id("d", 0), log: false },
                RemoveLogs
            ],
        ]
    );
    assert!(plan(&stop, &Look::Seen(Seen::default()), at(100)).gone);
    // A death in the middle of unpinning leaves the directory, which nothing is mounted in any more.
    let half = Seen { pin_dir: true, ..Seen::default() };
    assert_eq!(groups(&stop, &half), [vec![Unpin]]);
}
