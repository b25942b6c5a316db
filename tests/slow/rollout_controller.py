"""One controller of tests/slow/test_rollout_cluster.py: its own process, some nodes at a time, as forks of ansible-playbook would."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

importlib.import_module("tests.unit.conftest")  # makes the collection importable

from ansible_collections.t9k.gpu.plugins.module_utils._drain import session
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect

FORKS = 4
CHANGE_S = 1.0


def started() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def main() -> None:
    kubeconfig, share, *nodes = sys.argv[1:]
    holder = Holder("root", socket.gethostname(), os.getpid(), started())
    rules = Rules(share, known=tuple(nodes))
    api = connect.connect({"kubeconfig": kubeconfig}, concurrency=FORKS)

    def change(node: str) -> None:
        request = Request(node, holder, "a test", time.time() + 3600)
        session.drain(api, request, Wanted(), session.Jobs(), 120, rules, 300)
        time.sleep(CHANGE_S)
        session.readmit(api, request, 60, rules)
        print(node, flush=True)

    with ThreadPoolExecutor(FORKS) as forks:
        list(forks.map(change, nodes))


if __name__ == "__main__":
    main()
