//! Paths of the fake machine in pods. It has directories and files only: sockets and devices are never there.

use std::path::Path;

use super::{Machine, files::Content};
use crate::host::{
    Cause, Error, Result,
    path::{self, PathBind, PathKind},
};

impl Machine {
    pub(super) fn bind_path(&mut self, request: &PathBind) -> Result<()> {
        let refused = |why: String| Error {
            operation: "show host path",
            object: request.source.display().to_string(),
            source: Cause::Refused(why),
        };
        path::check(&request.source).map_err(refused)?;
        if self.mounts.is_mount_point(&request.target) {
            return Ok(());
        }
        if let Some(own) = request.own.iter().find(|own| path::are_entwined(&request.source, own)) {
            return Err(refused(path::entwined(own)));
        }
        let directory = match (self.info(&request.source), request.kind) {
            (Some(found), PathKind::Any) => found.directory,
            (Some(found), PathKind::Directory | PathKind::DirectoryOrCreate) if found.directory => true,
            (Some(found), PathKind::File | PathKind::FileOrCreate) if !found.directory => false,
            (Some(_), kind) => return Err(refused(path::mismatch(kind))),
            (None, PathKind::Any | PathKind::DirectoryOrCreate) => {
                self.create_dir(&request.source)?;
                true
            }
            (None, PathKind::FileOrCreate) => {
                let parent = request.source.parent().and_then(|parent| self.info(parent));
                if parent.is_none() {
                    return Err(refused(path::NO_PARENT.to_owned()));
                }
                self.create_sparse(&request.source, 0)?;
                false
            }
            (None, kind) => return Err(refused(path::missing(kind))),
        };
        self.make_target(&request.target, directory)?;
        self.bind(&request.source, &request.target, false)
    }

    fn make_target(&mut self, target: &Path, directory: bool) -> Result<()> {
        if directory {
            return self.create_dir(target);
        }
        if let Some(parent) = target.parent() {
            self.create_dir(parent)?;
        }
        if self.info(target).is_none() { self.create_sparse(target, 0) } else { Ok(()) }
    }

    pub(super) fn unbind_path(&mut self, target: &Path) -> Result<()> {
        while self.mounts.is_mount_point(target) {
            self.unmount(target)?;
        }
        match self.info(target) {
            None => Ok(()),
            Some(found) if found.directory => self.remove_dir(target),
            Some(_) if self.read(target) == Some(Content::Blank) => self.remove_file(target),
            Some(_) => Err(Error {
                operation: "remove the place of host path",
                object: target.display().to_string(),
                source: Cause::Refused("it is no empty file of Orlop's".to_owned()),
            }),
        }
    }
}
