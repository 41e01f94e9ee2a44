//! A child that answers, one that hangs, one that dies, and too many of them.

use std::path::PathBuf;

use super::*;

fn ask(job: &Job, waits_on: &str, deadline: Duration) -> Result<Answer> {
    call(&Call { operation: "test", object: "something".into(), waits_on: waits_on.into(), deadline, job })
}

const LONG: Duration = Duration::from_secs(60);

/// The test binary is the child as well: what Orlop's `main` asks first, its constructor asks.
extern "C" fn begin() {
    if let Some(code) = main_if_child() {
        let code = if code == ExitCode::SUCCESS { 0 } else { 1 };
        nix_exit(code);
    }
}

#[expect(unsafe_code, reason = "the harness has a main of its own, and a child must end before it")]
fn nix_exit(code: i32) -> ! {
    // SAFETY: nothing else runs in a child.
    unsafe { nix::libc::_exit(code) }
}

#[expect(unsafe_code, reason = "constructors are found by their section")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

#[test]
fn a_child_answers_with_the_kernels_own_number() {
    let job = Job::Unmount { target: PathBuf::from("/nonexistent"), force: false };
    let error = ask(&job, "answer", LONG).unwrap_err();
    let Cause::Os(source) = error.source else { panic!("{error:?}") };
    assert!(matches!(source.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::EPERM)), "{source}");
    assert_eq!(ask(&Job::Ask { place: "/".into() }, "answer", LONG).unwrap(), Answer::Done);
}

#[test]
fn a_child_that_hangs_is_killed_at_its_deadline_and_takes_no_place_any_more() {
    for _ in 0..3 {
        let error = ask(&Job::Hang, "hang", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error.source, Cause::Timeout(_)), "{error:?}");
    }
}

#[test]
fn a_child_that_dies_is_an_error_and_not_an_answer() {
    let error = ask(&Job::Die, "die", LONG).unwrap_err();
    assert!(matches!(error.source, Cause::Program { code: None, .. }), "{error:?}");
}

#[test]
fn of_one_thing_only_so_many_wait_and_the_next_is_told_at_once() {
    let places: Vec<_> = (0..MOST).map(|_| LIMITS.enter("crowd", Duration::ZERO).unwrap()).collect();
    let error = ask(&Job::Ask { place: "/".into() }, "crowd", LONG).unwrap_err();
    assert_eq!(error.source.to_string(), "8 earlier calls to crowd have not come back yet");
    assert_eq!(ask(&Job::Ask { place: "/".into() }, "other", LONG).unwrap(), Answer::Done);
    drop(places);
    ask(&Job::Ask { place: "/".into() }, "crowd", LONG).unwrap();
}
