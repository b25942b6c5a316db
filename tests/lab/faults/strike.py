"""What the fault runner does to a run, its host or its cluster at the point that a scenario names.

A strike is a function of what it may hurt, and returns what heals it again, if anything has to. Those that end by
themselves are timers on the host, so that they heal over a connection that is cut.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cluster import memory
from tests.lab.cluster.processes import Process
from tests.lab.hosts import power, ssh
from tests.lab.state import Lab


@dataclass(frozen=True)
class Victim:
    """Name the lab, the host and the running ansible-playbook."""

    lab: Lab
    host: str
    run: subprocess.Popen[str]


Heal = Callable[[], object]
Strike = Callable[[Victim], "Heal | None"]
_LOCK = (
    "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep({})"
)


def controller_killed(victim: Victim) -> None:
    """The machine that runs Ansible is gone: no cleaning up, no rescue.

    Ansible's workers lead sessions of their own (ansible-core, executor/process/worker.py), so a group would not be all of it.
    """
    family, known = {victim.run.pid}, set[int]()
    while family != known:  # what is stopped begins nothing more
        known = family
        _send(family, signal.SIGSTOP)
        family = family | _children(family)
    _send(family, signal.SIGKILL)


def _send(family: set[int], what: signal.Signals) -> None:
    for pid in family:
        with contextlib.suppress(ProcessLookupError):  # at a random moment it may have ended
            os.kill(pid, what)


def _children(family: set[int]) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) in family:
                found.add(int(stat.parent.name))
    return found


def power_cut(victim: Victim) -> Heal:
    power.cut(victim.lab, victim.host)
    return lambda: power.on(victim.lab, victim.host)


def ssh_lost(victim: Victim) -> None:
    """For 20 s nobody gets in and who is in is thrown out."""
    cut = "systemctl stop ssh.socket ssh.service; pkill -KILL sshd"
    _on_host(victim, f"systemd-run --on-active=20 systemctl start ssh.service; systemd-run --on-active=1 sh -c '{cut}'")


def apt_lock_held(victim: Victim) -> None:
    """For 25 s, as unattended-upgrades does in the morning."""
    _on_host(victim, f'systemd-run python3 -c "{_LOCK.format(25)}"')


def dpkg_broken_off(victim: Victim) -> None:
    """While it is at work; where it is not yet, as soon as it is."""
    _on_host(victim, "systemd-run sh -c 'until pkill -KILL -x dpkg; do sleep 0.05; done'")


def disk_full(victim: Victim) -> Heal:
    """Where dpkg unpacks: no byte is left in /usr/lib/modules, which is a small file system of its own from now on."""
    _on_host(
        victim,
        "mkdir -p /run/full && cp -a /usr/lib/modules /run/full/ && "
        "mount -t tmpfs -o size=4m none /usr/lib/modules && cp -a /run/full/modules/. /usr/lib/modules/ ; "
        "dd if=/dev/zero of=/usr/lib/modules/full bs=4k 2>/dev/null; true",
    )
    # Room is made, and what did get unpacked is still there.
    return lambda: _on_host(
        victim,
        "rm -rf /usr/lib/modules/full /run/full && cp -a /usr/lib/modules /run/unpacked && umount -l /usr/lib/modules && "
        "cp -a /run/unpacked/. /usr/lib/modules/ && rm -rf /run/unpacked",
    )


def package_gone(victim: Victim) -> Heal:
    """The archives' indices name what their pools no longer have."""
    move = "for pool in /srv/ubuntu/pool{0} /srv/snapshot/*/ubuntu/pool{0}; do mv $pool ${{pool%{0}}}{1}; done"
    _on_host(victim, move.format("", ".gone"))
    return lambda: _on_host(victim, move.format(".gone", ""))


def node_not_back(victim: Victim) -> Heal:
    """sshd does not come up with the next boot."""
    _on_host(victim, "systemctl mask ssh.service ssh.socket")
    return lambda: power.console(
        victim.lab, victim.host, "systemctl unmask ssh.service ssh.socket; systemctl start ssh.service"
    )


def api_gone(victim: Victim) -> Heal:
    """The API server answers nothing: its process is stopped, the connections stay."""
    process = Process(**memory.read(victim.lab)["processes"]["kube-apiserver"])
    os.kill(process.pid, signal.SIGSTOP)
    return lambda: os.kill(process.pid, signal.SIGCONT)


def _on_host(victim: Victim, script: str) -> str:
    return ssh.run(victim.lab, victim.host, script)
