"""The driver playbook on finished hosts, in pairs against the floor: a play that gathers the least facts and pings.

Three sizes are hosts of the lab; 300 are the same 30 hosts under ten names each, so that the controller has 300 of everything.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import yaml

from tests.benchmark import page, plays
from tests.lab.state import Lab

TITLE = "A run with nothing to do: the driver's playbook"
VARIABLES = {
    "driver_headers": "ignore",
    "driver_gsp": "disabled",
    "driver_reboot": "auto",
    "driver_serial": "100%",
    "driver_compute_check": False,  # of the run before, which is not measured
}
SIZES = (1, 10, 30, 300)
REAL = 30
GOAL = 1.1


def measure(pairs: int) -> str:
    """The section's text."""
    names = [f"bench-{number:02}" for number in range(1, REAL + 1)]
    spec = "cluster: false\nhosts:\n" + "".join(
        f"  - {{name: {name}, os: ubuntu-like, gpus: a40-x7}}\n" for name in names
    )
    with plays.hosts("bench", spec) as lab, tempfile.TemporaryDirectory() as folder:
        floor = Path(folder) / "floor.yml"
        floor.write_text(plays.FLOOR)
        plays.play("playbooks/driver.yml", lab.inventory, VARIABLES)
        rows = [_row(size, floor, _inventory(lab, size, Path(folder)), pairs) for size in SIZES]
    return f"""\
`playbooks/driver.yml` on hosts that are finished, in pairs against the floor: a play that gathers the least facts and pings.
Both over ssh with pipelining and 20 forks, one after the other, the start of ansible-playbook included. Goal: at most {GOAL}
times the floor. {SIZES[-1]} hosts are {REAL} hosts under ten names each.

| hosts | floor | driver playbook | ratio of the pairs, median |
|---|---|---|---|
{chr(10).join(rows)}

{pairs} pairs each; {page.machine()}. The greatest memory of one process: {plays.peak_memory_mib():.0f} MiB."""


def _row(size: int, floor: Path, inventory: Path, pairs: int) -> str:
    times: dict[str, list[float]] = {"floor": [], "driver": []}
    for _pair in range(pairs):
        times["floor"].append(plays.play(floor, inventory, {}).seconds)
        played = plays.play("playbooks/driver.yml", inventory, VARIABLES)
        if "nothing to be done" not in played.output:
            raise SystemExit(f"the run was not a no-change run:\n{played.output}")
        times["driver"].append(played.seconds)
    ratio = statistics.median(driver / least for driver, least in zip(times["driver"], times["floor"]))
    return f"| {size} | {page.spread(times['floor'])} | {page.spread(times['driver'])} | {ratio:.2f} |"


def _inventory(lab: Lab, size: int, folder: Path) -> Path:
    """The lab's inventory with its first ``size`` hosts, or with all of them under further names."""
    found = yaml.safe_load(lab.inventory.read_text())
    nodes = found["all"]["children"]["kube_node"]
    known = sorted(nodes["hosts"].items())
    rounds = [divmod(number, len(known)) for number in range(size)]
    nodes["hosts"] = {known[place][0] + (f"-{turn}" if turn else ""): known[place][1] for turn, place in rounds}
    path = folder / f"inventory-{size}.yml"
    path.write_text(yaml.safe_dump(found))
    return path
