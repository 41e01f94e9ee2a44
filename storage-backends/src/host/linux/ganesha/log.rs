//! What the server says in its log, as far as it answers questions. Pure.
//!
//! A line is `TIME : epoch … : HOST : nfs-ganesha-PID[THREAD] FUNCTION :COMPONENT :LEVEL :WORDS`.

/// It has bound its port and serves.
const SERVES: &str = "NFS SERVER INITIALIZED";
/// It has gone through all exports of its file again.
const READ_AGAIN: &str = "Reread exports complete";
/// It could not export something: `Could not create export for (/PSEUDO) to (PATH)`.
const NOT_EXPORTED: &str = "Could not create export for";
/// It could not make sense of its file, or of a part of it.
const NOT_READ: [&str; 3] =
    ["Configuration syntax errors found", "error: syntax error", "Errors processing block (EXPORT)"];
/// Said by every server of ours, since it has neither D-Bus nor a portmapper: means nothing.
const HARMLESS: [&str; 5] = ["dbus", "DBUS", "keytab", "ccache", "register"];

/// What a server that was started, or told to read its file again, has said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Not yet that it is done.
    Nothing,
    /// It serves everything.
    Done,
    /// It is done, and this is missing.
    Failed(String),
}

/// Whether it serves, from what it said since its start.
pub(super) fn started(text: &str) -> Said {
    judge(text, SERVES)
}

/// Whether it has taken its file, from what it said since it was told to.
pub(super) fn reloaded(text: &str) -> Said {
    judge(text, READ_AGAIN)
}

fn judge(text: &str, done: &str) -> Said {
    if !text.contains(done) {
        return Said::Nothing;
    }
    let wrong =
        |line: &&str| line.contains(NOT_EXPORTED) || NOT_READ.iter().any(|words| line.contains(words));
    match text.lines().find(wrong) {
        Some(line) => Said::Failed(words(line).to_owned()),
        None => Said::Done,
    }
}

/// The last complaints, for an error: what it said before it died.
pub(super) fn complaints(text: &str) -> String {
    let bad = |line: &&str| {
        [":CRIT :", ":MAJ :", ":FATAL :", "Cannot bind"].iter().any(|sign| line.contains(sign))
            && !HARMLESS.iter().any(|word| line.contains(word))
    };
    let all: Vec<&str> = text.lines().filter(bad).map(words).collect();
    all[all.len().saturating_sub(3)..].join("; ")
}

/// A line's words, without who said them when.
fn words(line: &str) -> &str {
    line.rsplit_once(" :").map_or(line, |(_, words)| words).trim_start_matches(':').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "25/11/2026 17:59:00 : epoch 6b0721e2 : vm : nfs-ganesha-16475";

    #[test]
    fn a_start_is_over_when_it_says_so() {
        let early = format!(
            "{HEAD}[main] init_server_pkgs :NFS STARTUP :EVENT :ID Mapper successfully initialized.\n"
        );
        assert_eq!(started(&early), Said::Nothing);
        let serves = format!(
            "{early}{HEAD}[main] nfs_start :NFS STARTUP :EVENT :             NFS SERVER INITIALIZED\n"
        );
        assert_eq!(started(&serves), Said::Done);
    }

    #[test]
    fn what_it_could_not_export_is_told() {
        let wrong = format!(
            "{HEAD}[sigmgr] fsal_cfg_commit :CONFIG :CRIT :Could not create export for (/v3) to (/nowhere)\n\
             {HEAD}[sigmgr] reread_exports :CONFIG :EVENT :Reread exports complete\n"
        );
        assert_eq!(reloaded(&wrong), Said::Failed("Could not create export for (/v3) to (/nowhere)".into()));
        let fine = format!("{HEAD}[sigmgr] reread_exports :CONFIG :EVENT :Reread exports complete\n");
        assert_eq!(reloaded(&fine), Said::Done);
        let syntax = format!(
            "{HEAD}[sigmgr] ganesha_yyerror :CONFIG :CRIT :Config file (./c.conf:6) error: syntax error\n{fine}"
        );
        assert!(matches!(reloaded(&syntax), Said::Failed(_)));
    }

    #[test]
    fn complaints_leave_out_what_every_server_says() {
        let text = format!(
            "{HEAD}[main] gsh_dbus_pkginit :DBUS :CRIT :dbus_bus_get failed\n\
             {HEAD}[main] Bind_sockets_V6 :DISP :WARN :Cannot bind NFS tcp6 socket, error 98 (Address already in use)\n\
             {HEAD}[main] Bind_sockets :DISP :FATAL :Error binding to V6 interface. Cannot continue.\n"
        );
        assert_eq!(
            complaints(&text),
            "Cannot bind NFS tcp6 socket, error 98 (Address already in use); Error binding to V6 interface. Cannot \
             continue."
        );
    }
}
