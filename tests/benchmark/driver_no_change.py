"""The no-change run of playbooks/driver.yml on 3 lab hosts, in pairs against the floor: the least facts and a ping.

    ./dev run python tests/benchmark/driver_no_change.py [--pairs 10]

Both are timed from outside, with pipelining, one after the other, so that the machine's other load meets both alike. Prints the medians,
the ratio, and the number of module executions per host and run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = "cluster: false\nhosts:\n" + "".join(
    f"  - {{name: bench-{number}, os: ubuntu-like, gpus: a40-x7}}\n" for number in (1, 2, 3)
)
FLOOR = """
- hosts: kube_node
  gather_facts: false
  tasks:
    - name: The least facts
      ansible.builtin.setup:
        gather_subset: ["!all", min]
    - name: Ping
      ansible.builtin.ping:
"""
VARIABLES = {"driver_headers": "ignore", "driver_gsp": "disabled", "driver_serial": "100%"}


def play(playbook: str, inventory: Path) -> tuple[float, str]:
    command = ["ansible-playbook", playbook, "-i", str(inventory), "-e", json.dumps(VARIABLES)]
    environment = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": "3"}
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - started, done.stdout


def executions(inventory: Path) -> int:
    """Modules that one host really ran: ansible keeps a wrapper of each when asked to keep remote files."""
    environment = {**os.environ, "ANSIBLE_DEBUG": "0", "ANSIBLE_FORKS": "1", "ANSIBLE_PIPELINING": "1"}
    command = ["ansible-playbook", "playbooks/driver.yml", "-i", str(inventory), "-e", json.dumps(VARIABLES), "-vvv",
               "--limit", "bench-1"]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.count("AnsiballZ_") or done.stdout.count("Pipelining is enabled.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    pairs = parser.parse_args().pairs
    lab = [sys.executable, "-m", "tests.lab.hosts"]
    with tempfile.TemporaryDirectory() as folder:
        spec, floor = Path(folder) / "lab.yml", Path(folder) / "floor.yml"
        spec.write_text(SPEC)
        floor.write_text(FLOOR)
        subprocess.run([*lab, "up", "--name", "bench", "--spec", str(spec)], check=True)
        try:
            inventory = Path(os.environ["T9K_GPU_CACHE"]) / "labs/bench/inventory.yml"
            play("playbooks/driver.yml", inventory)
            times: dict[str, list[float]] = {"floor": [], "driver": []}
            for _pair in range(pairs):
                times["floor"].append(play(str(floor), inventory)[0])
                seconds, output = play("playbooks/driver.yml", inventory)
                if "nothing to be done" not in output:
                    sys.exit(f"the run was not a no-change run:\n{output}")
                times["driver"].append(seconds)
            ran = executions(inventory)
        finally:
            subprocess.run([*lab, "down", "--name", "bench"], check=True)
    medians = {what: statistics.median(values) for what, values in times.items()}
    ratios = [driver / least for driver, least in zip(times["driver"], times["floor"])]
    print(f"pairs {pairs}, hosts 3, load {os.getloadavg()[0]:.1f}")
    print(f"floor  median {medians['floor']:.2f} s")
    print(f"driver median {medians['driver']:.2f} s, median ratio {statistics.median(ratios):.2f}")
    print(f"module executions per host in a no-change run: {ran}")


if __name__ == "__main__":
    main()
