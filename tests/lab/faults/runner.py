"""Strike at a named point of a run of playbooks/driver.yml, run once more, and look whether what must hold does.

A scenario is a row: a point, a strike, and what has to be true after one more run. What has to be true after *every*
scenario is in ``settled``: the next run succeeds, the one after it finds nothing to do, dpkg has nothing half done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.faults.listen import listening
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.strike import Heal, Victim
from tests.lab.hosts import ssh
from tests.lab.hosts.vm import lifecycle as virtual
from tests.lab.state import Lab

REPOSITORY = Path(__file__).resolve().parents[3]
LIMIT_S = 600
#: As examples/ansible.cfg has it: a connection that breaks off is tried again.
SSH = {"ANSIBLE_SSH_EXTRA_ARGS": " ".join(ssh.ALIVE), "ANSIBLE_SSH_RETRIES": "3"}
#: What shell commands on a host have to say in the end.
Holds = Mapping[str, Callable[[str], bool]]
HOLDS: Holds = {
    "dpkg --audit": lambda said: said == "",
    "nvidia-smi -L | wc -l": lambda said: said == "2",
    "cat /sys/module/nvidia/version": lambda said: bool(said),
    "dpkg --get-selections '*nvidia*' | grep -c 'hold$'": lambda said: int(said) >= 1,
}


@dataclass(frozen=True)
class Ended:
    """What a run amounted to."""

    rc: int
    output: str
    struck: bool = True

    @property
    def changed(self) -> bool:
        """Whether any host's line of the recap has a change."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        return any(not word.endswith("=0") for word in recap.split() if word.startswith("changed="))


def limit_s(lab: Lab, host: str) -> int:
    """Where every instruction is emulated, dkms and update-initramfs take minutes."""
    return 3 * LIMIT_S if virtual.is_ours(lab, host) else LIMIT_S


def run(lab: Lab, host: str, variables: dict[str, Any], scenario: Scenario | None = None) -> tuple[Ended, Heal | None]:
    """One run of the playbook on one host; struck where a scenario is given."""
    if scenario is None:
        process = _start(lab, host, variables, {})
        output = _output(process, limit_s(lab, host))
        return Ended(process.returncode, output), None
    with listening(scenario) as listener:
        process = _start(lab, host, variables, listener.environment)
        listener.armed(Victim(lab, host, process))
        output = _output(process, limit_s(lab, host))
        listener.join()
    return Ended(process.returncode, output, listener.watch.come), listener.heal


def _start(lab: Lab, host: str, variables: dict[str, Any], more: dict[str, str]) -> subprocess.Popen[str]:
    argv = ["ansible-playbook", "playbooks/driver.yml", "-i", str(lab.inventory), "--limit", f"{host},localhost"]
    return subprocess.Popen(
        [*argv, "-e", json.dumps(variables)],
        cwd=REPOSITORY,
        env={**os.environ, "KUBECONFIG": str(lab.kubeconfig), **SSH, **more},
        stdin=subprocess.DEVNULL,  # runs side by side would share ours, and each wants it blocking
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that a strike at the controller hits nobody else
    )


def _output(process: subprocess.Popen[str], limit: int) -> str:
    try:
        return process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\nfault runner: no end within {limit} s"


def play(lab: Lab, host: str, scenario: Scenario, variables: dict[str, Any], holds: Holds = HOLDS) -> None:
    """The scenario from its struck run to the last look; an AssertionError says what did not hold."""
    wanted = {**variables, **scenario.variables}
    first, heal = run(lab, host, wanted, scenario)
    assert first.struck, f"{scenario.name}: the run never came to the point '{scenario.point}':\n{first.output[-3000:]}"
    if heal:
        heal()
    expected = scenario.survives in (None, first.rc == 0)
    assert expected, f"{scenario.name}: exit status {first.rc}:\n{first.output[-3000:]}"
    assert scenario.says in first.output, f"{scenario.name}: wanted {scenario.says!r} in:\n{first.output[-3000:]}"
    ssh.wait(lab, host)
    settled(lab, host, wanted, holds)


def settled(lab: Lab, host: str, variables: dict[str, Any], holds: Holds) -> None:
    """One more run brings the node where it was to be, and the one after it has nothing to do."""
    more, _ = run(lab, host, variables)
    assert more.rc == 0, f"the next run failed:\n{more.output[-3000:]}"
    again, _ = run(lab, host, variables)
    assert (again.rc, again.changed) == (0, False), f"the run after it still changed:\n{again.output[-3000:]}"
    for look, wanted in holds.items():
        found = ssh.run(lab, host, look).strip()
        assert wanted(found), f"{look}: {found!r}"
