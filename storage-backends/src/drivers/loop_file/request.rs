//! What may be asked for: handles, sizes and the parameters of a StorageClass. Pure.
//!
//! | parameter | values | default |
//! |---|---|---|
//! | `fsType`, `csi.storage.k8s.io/fstype` | `ext4`, `xfs` | `ext4` |
//! | `pool` | a pool of the node (see [`super::pools`]) | `default`, or the only one |
//! | `provisioning` | `sparse`: blocks come with the first write; `thick`: all at once | `sparse` |
//! | `overcommit` | how many times its size the pool may be promised, 0.001 to 1000 | `1.0` |
//!
//! A parameter that is not in the table is refused by name: a misspelt one must not be silently without effect.

use uuid::Uuid;

use super::pools::{DEFAULT, Pools, check_name};
use crate::{
    driver::{Code, Create},
    drivers::{MADE, claim_uid},
    host::FsType,
};

/// Ending of a complete volume's file.
pub(super) const COMPLETE: &str = ".img";
/// Ending of a file that is being made.
pub(super) const MAKING: &str = ".making";
/// Sizes are multiples of this: the block size of the file systems made here.
pub(super) const BLOCK: u64 = 4096;

/// Ending of the record of who has a volume of a shared pool attached.
pub(super) const OWNER: &str = ".owner";
/// The parameter that chooses a pool.
pub const POOL: &str = "pool";

const PARAMETERS: &str = "fsType, csi.storage.k8s.io/fstype, pool, provisioning, overcommit";

/// `pvc-<uid>` in the pool `default`, `<pool>/pvc-<uid>` in another, checked: of all text from outside only the UID ever
/// becomes part of a path, and the pool's name is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle {
    pool: String,
    uid: Uuid,
}

impl Handle {
    /// Takes exactly what is made here.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (pool, name) = match text.split_once('/') {
            None => (DEFAULT, text),
            // A volume has one handle: that of the default pool is short.
            Some((pool, name)) if pool != DEFAULT && check_name(pool).is_ok() => (pool, name),
            Some(_) => ("", ""),
        };
        claim_uid(name).map(|uid| Self { pool: pool.to_owned(), uid }).ok_or_else(|| {
            format!(
                "volumeHandle {text:?} is not one of {}: it must be pvc- and the UID of a claim, in a pool other than \
                 {DEFAULT} with the pool's name and a slash before it",
                super::NAME
            )
        })
    }

    /// The volume that is made under this name in a pool.
    fn made(pool: &str, name: &str) -> Result<Self, String> {
        claim_uid(name)
            .map(|uid| Self { pool: pool.to_owned(), uid })
            .ok_or_else(|| format!("the name {name:?} is not pvc- and the UID of a claim"))
    }

    /// The pool that it lies in.
    pub(super) fn pool(&self) -> &str {
        &self.pool
    }

    /// The file system's UUID.
    pub(super) fn uuid(&self) -> String {
        self.uid.hyphenated().to_string()
    }

    fn stem(&self) -> String {
        format!("{MADE}{}", self.uuid())
    }

    pub(super) fn file_name(&self) -> String {
        self.stem() + COMPLETE
    }

    pub(super) fn making_name(&self) -> String {
        self.stem() + MAKING
    }

    pub(super) fn owner_name(&self) -> String {
        self.stem() + OWNER
    }

    /// The volume of a pool whose complete file has this name.
    pub(super) fn of_file(pool: &str, name: &str) -> Option<Self> {
        Self::made(pool, name.strip_suffix(COMPLETE)?).ok()
    }

    /// The volume of a pool whose half-made file has this name.
    pub(super) fn of_making(pool: &str, name: &str) -> Option<Self> {
        Self::made(pool, name.strip_suffix(MAKING)?).ok()
    }

    /// The volume of a pool whose owner is recorded under this name.
    pub(super) fn of_owner(pool: &str, name: &str) -> Option<Self> {
        Self::made(pool, name.strip_suffix(OWNER)?).ok()
    }
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pool != DEFAULT {
            write!(f, "{}/", self.pool)?;
        }
        f.write_str(&self.stem())
    }
}

/// A volume to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) handle: Handle,
    pub(super) bytes: u64,
    pub(super) fs_type: FsType,
    pub(super) thick: bool,
    pub(super) overcommit: Overcommit,
}

/// How many times its size the pool may be promised, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overcommit(u64);

impl Default for Overcommit {
    fn default() -> Self {
        Self(1000)
    }
}

impl Overcommit {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 4) || !digits(fraction, 3) {
            return None;
        }
        let thousandths =
            whole.parse::<u64>().ok()? * 1000 + format!("{fraction:0<3}").parse::<u64>().ok()?;
        (1..=1_000_000).contains(&thousandths).then_some(Self(thousandths))
    }

    /// How much may be promised of a pool of that size.
    pub(super) fn of(self, total: u64) -> u64 {
        u64::try_from(u128::from(total) * u128::from(self.0) / 1000).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for Overcommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        let cut = text.trim_end_matches('0');
        if cut.ends_with('.') { write!(f, "{cut}0") } else { f.write_str(cut) }
    }
}

/// The handle that the volume will have.
pub(super) fn handle(request: &Create, pools: &Pools) -> Result<Handle, String> {
    let pool = pools.choose(request.parameters.get(POOL).map(String::as_str))?;
    Handle::made(&pool.name, &request.name)
}

impl Spec {
    pub(super) fn parse(request: &Create, pools: &Pools) -> Result<Self, (Code, String)> {
        let invalid = |why| (Code::InvalidArgument, why);
        let handle = handle(request, pools).map_err(invalid)?;
        let mut types: Vec<(&str, &str)> =
            request.fs_type.iter().map(|value| ("fsType", value.as_str())).collect();
        let mut thick = false;
        let mut overcommit = Overcommit::default();
        for (name, value) in &request.parameters {
            match name.as_str() {
                "fsType" | "csi.storage.k8s.io/fstype" => types.push((name, value)),
                "provisioning" => thick = parse_provisioning(value).map_err(invalid)?,
                "overcommit" => {
                    overcommit = Overcommit::parse(value).ok_or_else(|| {
                        invalid(format!("parameter overcommit {value:?} is not a number from 0.001 to 1000"))
                    })?;
                }
                POOL => {}
                _ => {
                    return Err(invalid(format!("parameter {name:?} is not known; known are {PARAMETERS}")));
                }
            }
        }
        refuse_several_nodes(request, &handle, pools).map_err(invalid)?;
        let fs_type = one_type(&types).map_err(invalid)?;
        Ok(Self { handle, bytes: real_size(request.bytes, fs_type)?, fs_type, thick, overcommit })
    }
}

/// A volume of a shared pool could be asked for on several nodes at once; its file system bears one.
fn refuse_several_nodes(request: &Create, handle: &Handle, pools: &Pools) -> Result<(), String> {
    let several = |mode: &&String| matches!(mode.as_str(), "ReadWriteMany" | "ReadOnlyMany");
    match request.claim.access_modes.iter().find(several) {
        Some(mode) if pools.of(handle)?.shared => Err(format!(
            "access mode {mode}: a volume of a shared pool is attached to one node at a time; ask for ReadWriteOnce, or \
             for {mode} of a class of NFS volumes (class nfs)"
        )),
        _ => Ok(()),
    }
}

fn parse_provisioning(value: &str) -> Result<bool, String> {
    match value {
        "thick" => Ok(true),
        "sparse" => Ok(false),
        _ => Err(format!("parameter provisioning {value:?} is neither sparse nor thick")),
    }
}

fn one_type(asked: &[(&str, &str)]) -> Result<FsType, String> {
    let mut found: Option<FsType> = None;
    for (name, value) in asked.iter().filter(|(_, value)| !value.is_empty()) {
        let fs_type = parse_type(value).map_err(|why| format!("parameter {name}: {why}"))?;
        if found.is_some_and(|other| other != fs_type) {
            return Err(format!("the class asks for more than one file system type: {name} says {value}"));
        }
        found = Some(fs_type);
    }
    Ok(found.unwrap_or(FsType::Ext4))
}

/// A file system type that volumes may have.
pub(super) fn parse_type(value: &str) -> Result<FsType, String> {
    match value {
        "ext4" => Ok(FsType::Ext4),
        "xfs" => Ok(FsType::Xfs),
        _ => Err(format!("file system type {value:?} is neither ext4 nor xfs")),
    }
}

/// The least that mkfs makes a file system with a journal of.
fn minimum(fs_type: FsType) -> u64 {
    match fs_type {
        FsType::Ext4 => 8 << 20,
        FsType::Xfs => 300 << 20,
    }
}

/// Rounded up to whole blocks, never less than asked for.
fn real_size(bytes: u64, fs_type: FsType) -> Result<u64, (Code, String)> {
    if bytes == 0 {
        return Err((Code::InvalidArgument, "a volume of 0 bytes cannot be made; ask for a size".into()));
    }
    let least = minimum(fs_type);
    if bytes < least {
        let why =
            format!("{} is too small for {fs_type}; the smallest volume is {}", human(bytes), human(least));
        return Err((Code::OutOfRange, why));
    }
    // Lengths of files are signed.
    bytes
        .checked_next_multiple_of(BLOCK)
        .filter(|&bytes| i64::try_from(bytes).is_ok())
        .ok_or_else(|| (Code::OutOfRange, format!("{bytes} bytes are more than any file can hold")))
}

/// Bytes for people: exact when they are a whole number of a unit.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} bytes");
    };
    if bytes.is_multiple_of(*size) {
        return format!("{} {unit}", bytes / size);
    }
    let hundredths = u128::from(bytes) * 100 / u128::from(*size);
    format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests;
