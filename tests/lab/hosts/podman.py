"""Rootful podman with settings of our own, made from what this machine allows."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.hosts import machine
from tests.lab.state import cache

CAP_SYS_RESOURCE = 24


def settings(*, systemd: bool, journal: bool, limits: dict[str, int] | None) -> str:
    """containers.conf for this machine. runc everywhere: crun fails where cgroup v1 and v2 are mixed."""
    lines = ["[containers]", "pids_limit = 0"]
    if limits:
        wanted = ", ".join(f'"{name}={value}:{value}"' for name, value in limits.items())
        lines.append(f"default_ulimits = [{wanted}]")
    lines += ["[engine]", 'runtime = "runc"']
    lines.append(f'cgroup_manager = "{"systemd" if systemd else "cgroupfs"}"')
    lines.append(f'events_logger = "{"journald" if journal else "file"}"')
    return "\n".join(lines) + "\n"


def limits() -> dict[str, int] | None:
    """What may be asked for where root, as podman will run, may not raise its own limits; else nothing.

    podman asks for a million open files; without CAP_SYS_RESOURCE only what podman itself then has is granted. An
    ordinary user's podman runs through sudo, so it is root's rights there that count, not the user's.
    """
    shown = machine.text([*machine.as_root(), "cat", "/proc/self/status", "/proc/self/limits"])
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", shown, re.MULTILINE)
    if effective and int(effective[1], 16) >> CAP_SYS_RESOURCE & 1:
        return None
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman lowers its own process limit to this
    ceilings = {"nofile": ("Max open files", 1 << 20), "nproc": ("Max processes", pids)}
    return {name: min(_hard(shown, title), ceiling) for name, (title, ceiling) in ceilings.items()}


def _hard(shown: str, title: str) -> int:
    """The second column of /proc/self/limits."""
    found = re.search(rf"^{title}\s+\S+\s+(\d+)", shown, re.MULTILINE)
    return int(found[1]) if found else sys.maxsize  # "unlimited"


@functools.cache
def configuration() -> Path:
    """Our containers.conf, written anew only when the machine changed."""
    wanted = settings(
        systemd=Path("/run/systemd/system").is_dir(),
        journal=Path("/run/systemd/journal/socket").exists(),
        limits=limits(),
    )
    path = cache() / "containers.conf"
    if not path.exists() or path.read_text() != wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(wanted)
        fresh.replace(path)
    return path


def installed() -> bool:
    return shutil.which("podman") is not None


def run(*argv: str, stdin: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    prefix = machine.as_root(keep=["CONTAINERS_CONF"])
    return machine.run(
        [*prefix, "podman", *argv], stdin=stdin, env={"CONTAINERS_CONF": str(configuration())}, check=check
    )


def text(*argv: str) -> str:
    return run(*argv).stdout.decode().strip()


def exists(kind: str, name: str) -> bool:
    return run(kind, "exists", name, check=False).returncode == 0


def inspect(kind: str, name: str) -> Any:
    return json.loads(text(kind, "inspect", name))[0]


def names_with_label(label: str, kind: Sequence[str] = ("ps", "--all")) -> list[str]:
    field = "{{.Names}}" if kind[0] == "ps" else "{{.Name}}"
    return text(*kind, "--filter", f"label={label}", "--format", field).split()
