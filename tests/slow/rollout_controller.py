"""One controller of tests/slow/test_rollout_cluster.py: its own process, some nodes at a time, as forks of ansible-playbook would.

Of the nodes named in ``FAILS`` the change fails and goes back, as roles/driver/tasks/rollback.yml does it; the kubelets of those in
``SILENT`` do not report after their boot. ``MAX_FAILURES`` is driver_max_failures.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

importlib.import_module("tests.unit.conftest")  # makes the collection importable

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, claim, session
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import NotBegun, Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect

FORKS = 4
CHANGE_S = 1.0


def started() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def main() -> None:
    kubeconfig, share, *nodes = sys.argv[1:]
    holder = Holder("root", socket.gethostname(), os.getpid(), started())
    fails, silent = (os.environ.get(name, "").split(",") for name in ("FAILS", "SILENT"))
    rules = Rules(share, int(os.environ.get("MAX_FAILURES", "0")), time.time(), known=tuple(nodes))
    api = connect.connect({"kubeconfig": kubeconfig}, concurrency=FORKS)

    def change(node: str) -> None:
        request = Request(node, holder, "a test", time.time() + 3600)
        session.drain(api, request, Wanted(), session.Jobs(), 120, rules, 300)
        time.sleep(CHANGE_S)
        if node in fails:
            claim.note_failure(api, node, budget.failure("the driver does not come up"))
        if node in silent:
            machine = api.get(f"/api/v1/nodes/{node}")["status"]["nodeInfo"]["machineID"]
            request = replace(request, boot_id="that of the next boot", machine_id=machine)
        session.readmit(api, request, 5 if node in silent else 60, rules)

    def told(node: str) -> None:
        try:
            change(node)
            print(node, "failed" if node in fails else "done", flush=True)
        except NotBegun as reason:
            print(node, "left", reason, flush=True)
        except GpuError as error:
            print(node, "stays", error, flush=True)

    with ThreadPoolExecutor(FORKS) as forks:
        list(forks.map(told, nodes))


if __name__ == "__main__":
    main()
