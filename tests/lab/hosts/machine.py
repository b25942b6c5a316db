"""This machine: run commands (as root where needed) and install the Debian packages that the lab and the tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.lab.log import LabError, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# command, or file, -> Debian package that brings it; for the unit tests, and for each kind of host
TESTS = {"gcc": "build-essential", "gpg": "gpg", "gpg-agent": "gpg-agent", "gpgv": "gpgv"}
HOST = {
    "mmdebstrap": "mmdebstrap",
    "ssh-keygen": "openssh-client",
    "gcc": "build-essential",
    KEYRING: "debian-archive-keyring",
}
NEEDED = {
    "tests": TESTS,
    "container": {
        **HOST,
        "podman": "podman",
        "runc": "runc",
        "/usr/lib/podman/netavark": "netavark",
        "ip": "iproute2",
        "iptables": "iptables",
        "gpg": "gpg",
        "gpg-agent": "gpg-agent",
    },
    "vm": {
        **HOST,
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
        "mkfs.vfat": "dosfstools",
        "mcopy": "mtools",
        "mke2fs": "e2fsprogs",
    },
}

#: How many instances of inotify all of root's processes may have, and what one host takes: of a limit of 128 the 22nd host had none left.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_OF_A_HOST = 6


def as_root(keep: Sequence[str] = ()) -> list[str]:
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        raise LabError("the lab wants root: be root, or install sudo and let this user use it")
    return ["sudo", *([f"--preserve-env={','.join(keep)}"] if keep else [])]


def run(
    argv: Sequence[str], *, stdin: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run and capture; a failure says the command and what it wrote."""
    done = subprocess.run(argv, input=stdin, capture_output=True, env={**os.environ, **(env or {})}, check=False)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"{' '.join(argv)} exited {done.returncode}: {said}")
    return done


def text(argv: Sequence[str]) -> str:
    return run(argv).stdout.decode()


def missing_packages(kinds: Iterable[str]) -> list[str]:
    """What these need and this machine lacks."""
    needed = {what: package for kind in kinds for what, package in NEEDED[kind].items()}
    return [package for what, package in needed.items() if not _there(what)]


def _there(what: str) -> bool:
    """A file, or a command; those of administrators are not on everybody's PATH."""
    return (
        Path(what).exists() if what.startswith("/") else bool(shutil.which(what) or Path(f"/usr/sbin/{what}").exists())
    )


def require_inotify(hosts: int, limit: Path = INOTIFY) -> None:
    """Refuse more containers than can boot: systemd goes on without inotify, sshd never comes."""
    there, wanted = int(limit.read_text()), hosts * INOTIFY_OF_A_HOST
    if wanted > there:
        raise LabError(
            f"wanted: {wanted} instances of inotify for {hosts} hosts; found: {there} ({limit}); "
            "next: sysctl -w fs.inotify.max_user_instances=1024"
        )


def install_missing_packages(kinds: Iterable[str]) -> None:
    """Nothing where everything is here; otherwise one apt transaction."""
    packages = missing_packages(kinds)
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"the lab needs {', '.join(packages)}; there is no apt-get here, please install them")
    say(f"installing {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = [*as_root(["DEBIAN_FRONTEND"]), "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"], env=quiet)
    run([*apt, "install", "-y", "--no-install-recommends", *packages], env=quiet)


if __name__ == "__main__":
    install_missing_packages(sys.argv[1:])
