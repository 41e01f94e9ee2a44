//! Takes the ELF kernel out of a bzImage. QEMU starts it directly (PVH), which saves the guest from decompressing itself:
//! emulated, that is longer than the whole rest of its boot.
//!
//! The offsets are those of the x86 boot protocol, version 2.08 and later: `setup_sects`, `payload_offset`, `payload_length`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// How a payload begins, and the program that unpacks it.
const PACKERS: &[(&[u8], &str)] = &[(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];

/// The ELF file, or `None` when it was packed in a way that is not known here; then the guest must do it.
pub(super) fn extract(image: &[u8]) -> Result<Option<Vec<u8>>> {
    let payload = payload(image).context("not a bzImage of boot protocol 2.08 or later")?;
    let Some((_, packer)) = PACKERS.iter().find(|(magic, _)| payload.starts_with(magic)) else {
        return Ok(None);
    };
    let elf = unpack(packer, payload)?;
    Ok(elf.starts_with(b"\x7fELF").then_some(elf))
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup = (usize::from(*image.get(0x1f1)?) + 1) * 512;
    let start = setup.checked_add(word(0x248)?)?;
    // The last four bytes are the unpacked size, put there for the decompressor in the kernel.
    let end = start.checked_add(word(0x24c)?)?.checked_sub(4)?;
    image.get(start..end)
}

fn unpack(packer: &str, payload: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(packer);
    command.args(["-d", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {packer}"))?;
    let mut input = child.stdin.take().context("piped")?;
    let output = std::thread::scope(|scope| {
        // Written beside the reading: a pipe that nobody empties stops its writer.
        let writer = scope.spawn(move || input.write_all(payload));
        let output = child.wait_with_output();
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?
            .with_context(|| format!("feed {packer}"))?;
        anyhow::Ok(output?)
    })?;
    ensure!(output.status.success(), "{packer} could not unpack the kernel: {}", output.status);
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len() + 4).unwrap().to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image.extend(*b"size and what follows");
        image
    }

    #[test]
    fn the_payload_is_found_without_its_size() {
        assert_eq!(payload(&image(b"packed kernel")), Some(&b"packed kernel"[..]));
        assert_eq!(payload(b"too short"), None);
        let mut lying = image(b"packed kernel");
        lying[0x24c..0x250].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(payload(&lying), None);
    }

    #[test]
    fn an_unknown_packing_is_left_to_the_guest() {
        assert_eq!(extract(&image(b"LZO or whatever")).unwrap(), None);
    }
}
