//! What is shipped beside the binary is well formed: the compose file for both docker-composes, the units for systemd, the
//! scripts for their shells; and what `make install` puts in place, `make uninstall` takes away, the settings excepted.
#![allow(clippy::disallowed_methods, reason = "these tests run the programs that read these files")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{cluster::said, machine::skipped};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the workspace").to_owned()
}

/// What a program of this checkout answers, or `None` where there is no such program.
fn answer(program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).current_dir(root()).output().ok()
}

fn succeeds(program: &str, arguments: &[&str]) -> Result<String> {
    let output = answer(program, arguments).with_context(|| format!("there is no {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    Ok(said(&output))
}

#[test]
fn the_compose_file_is_valid_for_both_composes() -> Result<()> {
    for compose in [&["docker-compose"][..], &["docker", "compose"]] {
        let (program, rest) = (compose[0], &compose[1..]);
        let there = answer(program, &[rest, &["version"]].concat()).is_some_and(|o| o.status.success());
        if there {
            succeeds(program, &[rest, &["--file", "docker-compose.yml", "config", "--quiet"]].concat())?;
        } else {
            skipped("the_compose_file_is_valid_for_both_composes", format_args!("there is no {compose:?}"));
        }
    }
    Ok(())
}

#[test]
fn nothing_in_the_compose_file_is_privileged() -> Result<()> {
    let text = fs::read_to_string(root().join("docker-compose.yml"))?;
    let value: serde_json::Value = serde_saphyr::from_str(&text)?;
    let services = value["services"].as_object().context("services")?;
    ensure!(services.len() >= 5, "a server, three nodes and an NFS server");
    for (name, service) in services {
        ensure!(service["privileged"].is_null(), "{name} is privileged");
    }
    Ok(())
}

#[test]
fn systemd_accepts_the_units() -> Result<()> {
    if answer("systemd-analyze", &["--version"]).is_none() {
        skipped("systemd_accepts_the_units", "there is no systemd-analyze");
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    for unit in ["orlop.service", "orlop-server.service", "orlop-agent.service"] {
        let text = fs::read_to_string(root().join("packaging/systemd").join(unit))?;
        for setting in ["KillMode=process", "Delegate=yes", "Restart=on-failure"] {
            ensure!(text.lines().any(|line| line == setting), "{unit} lacks {setting}");
        }
        // A unit whose program is missing is refused, and nothing is installed yet.
        let here = scratch.path().join(unit);
        fs::write(&here, text.replace("/usr/local/bin/orlop", "/bin/true"))?;
        let said = succeeds("systemd-analyze", &["verify", "--man=no", &here.to_string_lossy()])?;
        ensure!(!said.contains(unit), "{said}");
    }
    Ok(())
}

#[test]
fn the_scripts_are_whole() -> Result<()> {
    for folder in ["packaging", "examples", ".ci"] {
        for entry in fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let shell = match text.lines().next() {
                Some("#!/bin/sh") => "sh",
                Some("#!/usr/bin/env bash") => "bash",
                _ => continue,
            };
            succeeds(shell, &["-n", &path.to_string_lossy()])?;
        }
    }
    Ok(())
}

#[test]
fn what_is_installed_is_uninstalled_but_for_the_settings() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let destination = format!("DESTDIR={}", scratch.path().display());
    let make =
        |target: &str| succeeds("make", &["--no-print-directory", target, "BINARY=/bin/true", &destination]);
    make("install")?;
    let settings = scratch.path().join("etc/orlop/orlop.env");
    fs::write(&settings, "ORLOP_FLAGS=--node-name mine\n").context("the settings are installed")?;
    let unit = fs::read_to_string(scratch.path().join("usr/local/lib/systemd/system/orlop.service"))?;
    ensure!(unit.contains("ExecStart=/usr/local/bin/orlop up"), "{unit}");
    make("install")?;
    ensure!(fs::read_to_string(&settings)?.contains("mine"), "settings are their owner's");
    make("uninstall")?;
    let mut left = Vec::new();
    files(scratch.path(), &mut left)?;
    ensure!(left == [settings], "left: {left:?}");
    Ok(())
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, into)? } else { into.push(path) }
    }
    Ok(())
}
