//! The default filter of system calls: what is not named here is answered with EPERM. Pure.
//!
//! Which calls are let through follows what containerd and Docker let through by default, level of 2026: no mounting,
//! no modules, no kernel keys, no io_uring, no BPF, no new namespaces, unless the container has the capability that
//! guards the call in the kernel anyway. Names that an installed libseccomp does not know are left out by runc.
//!
//! | call | why it has a condition |
//! |---|---|
//! | personality | only the values that change nothing dangerous |
//! | socket | not AF_VSOCK: it reaches the host of a virtual machine past every network namespace |
//! | clone | not with a flag that makes a namespace; user namespaces widen the kernel's attack surface |
//! | clone3 | its flags lie in memory where a filter cannot look: ENOSYS makes C libraries fall back on clone |

use serde_json::{Value, json};

/// Let through for everybody.
const ALLOWED: &str = "
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair

    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 link linkat listmount _llseek lseek
    lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv
    preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile
    sendfile64 splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee
    truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev

    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat

    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set
    _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4

    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    remap_file_pages

    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget

    capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 ptrace rseq seccomp
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setuid setuid32 tgkill tkill ugetrlimit uretprobe vfork wait4 waitid waitpid

    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield

    restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn

    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times

    getrandom sysinfo uname
";

/// Let through for who has the capability that the kernel asks for anyway.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// Values of `personality` that are let through: plain, 32-bit, both with the UNAME26 flag, and the question itself.
const PERSONALITIES: [u64; 5] = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET together (linux/sched.h).
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// AF_VSOCK (linux/socket.h).
const AF_VSOCK: u64 = 40;

/// ENOSYS and EPERM (asm-generic/errno.h), the same on every architecture that Orlop runs on.
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// `linux.seccomp` of a container with these capabilities on a machine of this architecture (Rust's name of it).
pub(super) fn filter(capabilities: &[String], arch: &str) -> Value {
    let has = |name: &str| capabilities.iter().any(|c| c == name);
    let mut calls = vec![allow(ALLOWED)];
    calls.extend(
        PERSONALITIES
            .map(|value| allow_if("personality", &json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"}))),
    );
    calls.push(allow_if("socket", &json!({"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"})));
    calls.extend(BY_CAPABILITY.iter().filter(|(name, _)| has(name)).map(|(_, names)| allow(names)));
    if !has("CAP_SYS_ADMIN") {
        let plain = json!({"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"});
        calls.push(allow_if("clone", &plain));
        calls.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    let (architectures, own) = machine(arch);
    calls.push(allow(own));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": architectures,
        "syscalls": calls,
    })
}

/// libseccomp's names of an architecture and those it can run beside its own, with the calls that only it has.
fn machine(arch: &str) -> (&'static [&'static str], &'static str) {
    match arch {
        "aarch64" => (
            &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
            "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
        ),
        _ => (&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arch_prctl modify_ldt"),
    }
}

fn allow(names: &str) -> Value {
    let names: Vec<&str> = names.split_whitespace().collect();
    json!({"names": names, "action": "SCMP_ACT_ALLOW"})
}

fn allow_if(name: &str, condition: &Value) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn unconditional(filter: &Value) -> BTreeSet<String> {
        let rules = filter["syscalls"].as_array().unwrap().iter();
        let allowed = rules.filter(|r| r["action"] == "SCMP_ACT_ALLOW" && r["args"].is_null());
        let names = allowed.flat_map(|r| r["names"].as_array().unwrap());
        names.map(|n| n.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_escapes_are_made_of_is_not_let_through() {
        let calls = unconditional(&filter(&["CAP_CHOWN".into()], "x86_64"));
        for call in [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "clone",
            "clone3",
            "bpf",
            "init_module",
            "kexec_load",
            "keyctl",
            "add_key",
            "io_uring_setup",
            "perf_event_open",
            "open_by_handle_at",
            "pivot_root",
            "userfaultfd",
            "swapon",
            "socket",
            "personality",
            "reboot",
            "chroot",
        ] {
            assert!(!calls.contains(call), "{call}");
        }
        assert!(calls.contains("openat") && calls.contains("execve") && calls.contains("modify_ldt"));
    }

    #[test]
    fn capabilities_open_their_own_calls() {
        let admin = filter(&["CAP_SYS_ADMIN".into()], "x86_64");
        assert!(unconditional(&admin).contains("mount"));
        assert!(!admin.to_string().contains("SCMP_CMP_MASKED_EQ"), "clone has no condition left");
        let chroot = unconditional(&filter(&["CAP_SYS_CHROOT".into()], "x86_64"));
        assert!(chroot.contains("chroot") && !chroot.contains("mount"));
    }

    #[test]
    fn no_call_is_named_twice_in_the_common_table() {
        let mut seen = BTreeSet::new();
        for call in ALLOWED.split_whitespace() {
            assert!(seen.insert(call), "{call}");
        }
    }

    #[test]
    fn arm_has_its_own_architectures() {
        let arm = filter(&[], "aarch64");
        assert_eq!(arm["architectures"], json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
        assert!(unconditional(&arm).contains("sync_file_range2"));
    }
}
