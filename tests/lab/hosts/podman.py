"""Rootful podman with settings of our own, made from what this machine allows."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
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


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


def _limits() -> dict[str, int] | None:
    """podman asks for a million open files; without CAP_SYS_RESOURCE only what podman itself then has is granted."""
    if os.geteuid() != 0 or _may_raise_limits():
        return None
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman lowers its own process limit to this
    ceilings = {"nofile": (resource.RLIMIT_NOFILE, 1 << 20), "nproc": (resource.RLIMIT_NPROC, pids)}
    return {name: _at_most(resource.getrlimit(which)[1], ceiling) for name, (which, ceiling) in ceilings.items()}


def _at_most(limit: int, ceiling: int) -> int:
    return ceiling if limit == resource.RLIM_INFINITY else min(limit, ceiling)


def configuration() -> Path:
    """Our containers.conf, written anew only when the machine changed."""
    wanted = settings(
        systemd=Path("/run/systemd/system").is_dir(),
        journal=Path("/run/systemd/journal/socket").exists(),
        limits=_limits(),
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
