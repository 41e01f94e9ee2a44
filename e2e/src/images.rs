//! The one image that tests need: busybox, made from Debian's static binary.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::{
    cluster::{Cluster, said},
    member::Member,
};

/// Writes an archive that holds `busybox:latest`.
pub fn write_busybox(archive: &Path) -> Result<()> {
    write(archive, &[])
}

fn write(archive: &Path, name_and_command: &[&str]) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/busybox-image.sh");
    let output = Command::new("sh").arg(script).arg(archive).args(name_and_command).output()?;
    ensure!(output.status.success(), "busybox-image.sh: {}", said(&output));
    Ok(())
}

/// Makes `busybox:latest` and loads it.
pub fn load_busybox(cluster: &Cluster) -> Result<()> {
    let archive = cluster.dir().with_file_name("busybox.tar");
    write_busybox(&archive)?;
    cluster.run(&["image", "load", &archive.to_string_lossy()])?;
    Ok(())
}

/// The same on a further node: every node has images of its own.
pub fn load_busybox_on(member: &Member) -> Result<()> {
    let archive = member.dir().with_file_name("busybox.tar");
    write_busybox(&archive)?;
    let output = member.command(&["image", "load", &archive.to_string_lossy()]).output()?;
    ensure!(output.status.success(), "orlop image load: {}", said(&output));
    Ok(())
}

/// Loads the same image once more, under the tag `busybox:TAG`.
pub fn load_busybox_as(cluster: &Cluster, tag: &str) -> Result<()> {
    let place = cluster.dir().with_file_name(format!("busybox-{tag}"));
    std::fs::create_dir(&place)?;
    let archive = place.join("latest.tar");
    write_busybox(&archive)?;
    let tar = |arguments: &[&str]| -> Result<()> {
        let output = Command::new("tar").current_dir(&place).args(arguments).output()?;
        ensure!(output.status.success(), "tar {arguments:?}: {}", said(&output));
        Ok(())
    };
    tar(&["-xf", "latest.tar"])?;
    std::fs::remove_file(&archive)?;
    let manifest = place.join("manifest.json");
    let text = std::fs::read_to_string(&manifest)?.replace("busybox:latest", &format!("busybox:{tag}"));
    std::fs::write(&manifest, text)?;
    let tagged = place.with_extension("tar");
    tar(&["-cf", &tagged.to_string_lossy(), "."])?;
    cluster.run(&["image", "load", &tagged.to_string_lossy()])?;
    Ok(())
}

/// Loads busybox under another image's name, to stand in for it in a manifest that is to be used word for word.
pub fn load_stand_in(cluster: &Cluster, name: &str, command: &[&str]) -> Result<()> {
    let archive = cluster.dir().with_file_name(format!("{name}.tar"));
    write(&archive, &[&[name], command].concat())?;
    cluster.run(&["image", "load", &archive.to_string_lossy()])?;
    Ok(())
}

/// What serves the pages of nginx in nginx's stead.
pub fn load_nginx(cluster: &Cluster) -> Result<()> {
    load_stand_in(cluster, "nginx", &["httpd", "-f", "-h", "/usr/share/nginx/html"])
}
