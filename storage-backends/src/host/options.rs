//! Which mount options a manifest may ask for, and what they are to the kernel.
//!
//! An allow-list: an option reaches the kernel only when it is known to leave the volume's data, and everything
//! outside it, safe. `nobarrier`, `noload`, `norecovery`, `nouuid`, `errors=panic` and the like are not in it.
//! Meanings: mount(8), ext4(5), xfs(5).

use super::FsType;

/// What an option is to mount(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `MS_RDONLY`.
    ReadOnly,
    /// `MS_NOATIME`.
    NoAtime,
    /// `MS_NODIRATIME`.
    NoDirAtime,
    /// `MS_RELATIME`.
    RelAtime,
    /// `MS_STRICTATIME`.
    StrictAtime,
    /// `MS_NODEV`.
    NoDev,
    /// `MS_NOSUID`.
    NoSuid,
    /// `MS_NOEXEC`.
    NoExec,
    /// `MS_SYNCHRONOUS`.
    Sync,
    /// `MS_DIRSYNC`.
    DirSync,
}

/// Options, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For the mount.
    pub flags: Vec<Flag>,
    /// For the file system, joined by commas.
    pub data: String,
}

/// Options that ask for what is so anyway.
const DEFAULTS: [&str; 6] = ["defaults", "rw", "dev", "suid", "exec", "async"];
const FLAGS: [(&str, Flag); 10] = [
    ("ro", Flag::ReadOnly),
    ("noatime", Flag::NoAtime),
    ("nodiratime", Flag::NoDirAtime),
    ("relatime", Flag::RelAtime),
    ("strictatime", Flag::StrictAtime),
    ("nodev", Flag::NoDev),
    ("nosuid", Flag::NoSuid),
    ("noexec", Flag::NoExec),
    ("sync", Flag::Sync),
    ("dirsync", Flag::DirSync),
];
const EXT4: [&str; 18] = [
    "discard",
    "nodiscard",
    "acl",
    "noacl",
    "user_xattr",
    "nouser_xattr",
    "delalloc",
    "nodelalloc",
    "init_itable",
    "noinit_itable",
    "journal_checksum",
    "data=ordered",
    "data=journal",
    "data=writeback",
    "errors=remount-ro",
    "errors=continue",
    "i_version",
    "auto_da_alloc",
];
const XFS: [&str; 8] =
    ["discard", "nodiscard", "inode64", "inode32", "largeio", "nolargeio", "swalloc", "noquota"];
/// Options with a number.
const EXT4_NUMBERS: [&str; 2] = ["commit=", "init_itable="];
const XFS_NUMBERS: [&str; 2] = ["allocsize=", "logbufs="];

/// Takes options apart. Each may be a list joined by commas. The error names the option and what may be used.
pub fn parse(fs_type: FsType, options: &[String]) -> Result<Options, String> {
    let mut parsed = Options::default();
    let mut data = Vec::new();
    for option in options.iter().flat_map(|list| list.split(',')).map(str::trim) {
        if option.is_empty() || DEFAULTS.contains(&option) {
            continue;
        }
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == option) {
            parsed.flags.push(*flag);
        } else if is_known(fs_type, option) {
            data.push(option);
        } else {
            return Err(refusal(fs_type, option));
        }
    }
    parsed.data = data.join(",");
    Ok(parsed)
}

fn is_known(fs_type: FsType, option: &str) -> bool {
    let (plain, numbers): (&[&str], &[&str]) = match fs_type {
        FsType::Ext4 => (&EXT4, &EXT4_NUMBERS),
        FsType::Xfs => (&XFS, &XFS_NUMBERS),
    };
    let is_number =
        |value: &str| (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    plain.contains(&option) || numbers.iter().any(|name| option.strip_prefix(name).is_some_and(is_number))
}

fn refusal(fs_type: FsType, option: &str) -> String {
    let flags = FLAGS.iter().map(|(name, _)| *name);
    let (plain, numbers): (&[&str], &[&str]) = match fs_type {
        FsType::Ext4 => (&EXT4, &EXT4_NUMBERS),
        FsType::Xfs => (&XFS, &XFS_NUMBERS),
    };
    let numbers = numbers.iter().map(|name| format!("{name}N"));
    let known: Vec<String> = flags.chain(plain.iter().copied()).map(str::to_owned).chain(numbers).collect();
    format!(
        "mount option {option:?} is not allowed for {fs_type}; take it out of mountOptions, or use one of {}",
        known.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.into()).collect()
    }

    #[test]
    fn flags_and_data_are_told_apart() {
        let parsed =
            parse(FsType::Ext4, &list(&["noatime,discard", "defaults", "data=ordered", "commit=30"]))
                .unwrap();
        assert_eq!(
            parsed,
            Options { flags: vec![Flag::NoAtime], data: "discard,data=ordered,commit=30".into() }
        );
        assert_eq!(parse(FsType::Xfs, &list(&["rw", ""])).unwrap(), Options::default());
    }

    #[test]
    fn what_endangers_data_or_the_machine_is_refused_by_name() {
        for (fs_type, option) in [
            (FsType::Ext4, "nobarrier"),
            (FsType::Ext4, "noload"),
            (FsType::Ext4, "errors=panic"),
            (FsType::Ext4, "commit=x"),
            (FsType::Ext4, "commit=9999999"),
            (FsType::Ext4, "journal_dev=7"),
            (FsType::Ext4, "inode64"),
            (FsType::Xfs, "norecovery"),
            (FsType::Xfs, "nouuid"),
            (FsType::Xfs, "logdev=/dev/vda"),
            (FsType::Xfs, "data=ordered"),
            (FsType::Xfs, "bind"),
            (FsType::Xfs, "remount"),
            (FsType::Xfs, "loop"),
        ] {
            let error = parse(fs_type, &list(&["noatime", option])).unwrap_err();
            assert!(error.contains(option) && error.contains("mountOptions"), "{error}");
        }
    }
}
