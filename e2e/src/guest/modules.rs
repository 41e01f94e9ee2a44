//! Which modules a guest needs before it has a root, and in which order: a closure over what `depmod` wrote.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// What `depmod` wrote about one kernel.
pub(super) struct Modules {
    /// name → its file and the files that it needs, the last one first.
    files: BTreeMap<String, Vec<String>>,
    builtin: Vec<String>,
}

impl Modules {
    /// From the texts of `modules.dep` and `modules.builtin`.
    pub(super) fn parse(dependencies: &str, builtin: &str) -> Self {
        let mut files = BTreeMap::new();
        for (file, needed) in dependencies.lines().filter_map(|line| line.split_once(':')) {
            let all = std::iter::once(file).chain(needed.split_whitespace()).map(str::to_owned);
            files.insert(name(file), all.collect());
        }
        Self { files, builtin: builtin.lines().map(name).collect() }
    }

    /// The files of these modules and of all that they need, each once, in the order in which they can be inserted.
    pub(super) fn closure(&self, wanted: &[&str]) -> Result<Vec<String>> {
        let mut order: Vec<String> = Vec::new();
        for module in wanted.iter().filter(|module| !self.builtin.iter().any(|b| b == *module)) {
            let files =
                self.files.get(*module).with_context(|| format!("the kernel has no module {module}"))?;
            for file in files.iter().rev() {
                if !order.contains(file) {
                    order.push(file.clone());
                }
            }
        }
        Ok(order)
    }
}

/// The kernel takes `-` and `_` in a module's name for the same.
fn name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/fs/fscache/fscache.ko: kernel/fs/netfs/netfs.ko
kernel/fs/netfs/netfs.ko:
kernel/drivers/block/virtio-blk.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
";

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let modules = Modules::parse(DEPENDENCIES, "kernel/fs/overlayfs/overlay.ko\n");
        let order = modules.closure(&["9p", "overlay", "virtio_blk", "9p"]).unwrap();
        let names: Vec<_> = order.iter().map(|file| name(file)).collect();
        assert_eq!(names, ["netfs", "fscache", "9pnet", "9p", "virtio", "virtio_blk"]);
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = Modules::parse(DEPENDENCIES, "").closure(&["overlay"]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no module overlay");
    }
}
