"""A first installation, in pairs against the bare commands that a person types over ssh: the same packages on an equal host.

What the role installed on one host is installed on the other by hand, at the same versions, with the same hold, options, initramfs and
reboot, so that the difference is what the role adds: reading, planning, writing and proving.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass

from tests.benchmark import page, plays, tasks
from tests.lab.hosts import ssh
from tests.lab.state import Lab

TITLE = "A first installation of the driver"
GOAL = 1.15
DEAREST = 8  # tasks that the page shows of each family
BOOT_ID = "/proc/sys/kernel/random/boot_id"
VARIABLES = {"driver_headers": "ignore"}
INSTALLED = (
    "dpkg-query --show --showformat '${db:Status-Abbrev}${binary:Package}=${Version}\\n' | sed -n 's/^[ih]i *//p'"
)
BARE = (
    "apt-get -qq update",
    "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends {packages}",
    "apt-mark -q hold {names}",
    "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' > /etc/modprobe.d/blacklist-nouveau.conf",
    "systemctl enable nvidia-persistenced",
    "update-initramfs -u",
    "nohup sh -c 'sleep 0.2; systemctl reboot' >/dev/null 2>&1 &",  # so that ssh ends well
)


@dataclass(frozen=True)
class Family:
    title: str
    host: str  # fields of the lab's spec; one GPU, since the lab's processor computes what a GPU does in a millisecond
    variables: dict[str, str]


FAMILIES = (
    Family(
        "Debian 12, real packages, dkms", "os: debian-12, gpus: a100-gsp, hardware: {count: 1}, components: all", {}
    ),
    Family(
        "Ubuntu's shape, pre-built modules",
        "os: ubuntu-like, gpus: a40-x7, hardware: {count: 1}",
        {"driver_branch": "525"},
    ),
)


def measure(pairs: int) -> str:
    """The section's text."""
    measured = [_measure(family, pairs) for family in FAMILIES]
    return f"""\
`playbooks/driver.yml` on a bare host, against the bare commands over ssh, each over its own connection: update and
installation of the same packages, hold, blacklist, persistence, initramfs, reboot, `nvidia-smi`. Both with the reboot, from
the first command to an answer of `nvidia-smi`; the role with its proof. No cluster is there, so nothing is drained. Goal: at
most {GOAL} times the bare commands. What the role adds is a fixed time a node, whatever its archive, dkms and firmware take: here
packages come from the host's own disk and a restart takes a second, on a server both take minutes.

| host | bare commands | role | difference of the pairs, median | ratio of the pairs, median |
|---|---|---|---|---|
{chr(10).join(row for row, _dearest in measured)}

{pairs} pairs each; {page.machine()}.

What was dearest in the last run of the role:

| host | task | seconds |
|---|---|---|
{chr(10).join(line for _row, dearest in measured for line in dearest)}"""


def _measure(family: Family, pairs: int) -> tuple[str, list[str]]:
    """The family's row, and the rows of its dearest tasks."""
    times: dict[str, list[float]] = {"bare": [], "role": []}
    ran: list[tasks.Task] = []
    for _pair in range(pairs):
        spec = f"cluster: false\nhosts:\n  - {{name: ours, {family.host}}}\n  - {{name: bare, {family.host}}}\n"
        with plays.hosts("bench", spec) as lab:
            before = set(ssh.run(lab, "ours", INSTALLED).split())
            variables = {**VARIABLES, **family.variables}
            played = plays.play("playbooks/driver.yml", lab.inventory, variables, limit="ours", environment=tasks.TOLD)
            times["role"].append(played.seconds)
            ran = list(tasks.of_host(played.output, "ours"))
            packages = sorted(set(ssh.run(lab, "ours", INSTALLED).split()) - before)
            times["bare"].append(_bare(lab, packages))
    each = list(zip(times["role"], times["bare"]))
    more, ratio = (statistics.median(of) for of in ([a - b for a, b in each], [a / b for a, b in each]))
    shown = f"{page.spread(times['bare'])} | {page.spread(times['role'])} | {more:.2f} s | {ratio:.2f}"
    row = f"| {family.title} | {shown} |"
    dearest = sorted(ran, key=lambda task: task.seconds, reverse=True)[:DEAREST]
    return row, [f"| {family.title} | {task.name} | {task.seconds:.2f} |" for task in dearest]


def _bare(lab: Lab, packages: list[str]) -> float:
    """Seconds of the bare commands on the host named bare."""
    words = {"packages": " ".join(packages), "names": " ".join(package.partition("=")[0] for package in packages)}
    boot = _boot(lab)
    started = time.monotonic()
    for command in BARE:
        ssh.run(lab, "bare", command.format(**words))
    while _boot(lab) in ("", boot):
        time.sleep(0.2)
    ssh.run(lab, "bare", "nvidia-smi")
    return time.monotonic() - started


def _boot(lab: Lab) -> str:
    """The host's boot id; empty while it does not answer."""
    done = subprocess.run([*ssh.command(lab, "bare"), f"cat {BOOT_ID}"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
