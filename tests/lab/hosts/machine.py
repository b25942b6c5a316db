"""This machine: run commands (as root where needed) and install the Debian packages that the lab needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.log import LabError, say

# command -> Debian package that brings it
NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "netavark": "netavark",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh-keygen": "openssh-client",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "gcc": "build-essential",
}
ELSEWHERE = {"netavark": "/usr/lib/podman/netavark"}  # not on PATH
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def as_root(keep: Sequence[str] = ()) -> list[str]:
    if os.geteuid() == 0:
        return []
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


def missing_packages() -> list[str]:
    absent = [
        package
        for command, package in NEEDED.items()
        if not shutil.which(command) and not Path(ELSEWHERE.get(command, f"/usr/sbin/{command}")).exists()
    ]
    return absent if Path(KEYRING).exists() else [*absent, "debian-archive-keyring"]


def install_missing_packages() -> None:
    """Nothing where everything is here; otherwise one apt transaction."""
    packages = missing_packages()
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"the lab needs {', '.join(packages)}; there is no apt-get here, please install them")
    say(f"installing {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = [*as_root(["DEBIAN_FRONTEND"]), "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"], env=quiet)
    run([*apt, "install", "-y", "--no-install-recommends", *packages], env=quiet)
