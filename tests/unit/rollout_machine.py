"""Two controllers, an administrator and crashes against the API double, interleaved request by request.

A controller is the real code (session.drain, session.readmit) in a thread that stops before every request until the machine
lets it go on; so every interleaving of requests is a sequence of rules that hypothesis chooses and shrinks. A crash ends
the thread before its next request; its process is then dead for the others.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from fake_cluster import FakeCluster, add_pod, pod
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ansible_collections.t9k.gpu.plugins.module_utils._drain import deadline, rollout, session
from ansible_collections.t9k.gpu.plugins.module_utils._drain import holder as drain_holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

WORKERS = ("one-a", "one-b", "two-a", "two-b")
NAMES = tuple(f"gpu-{number}" for number in range(1, 6))
LEDGER = f"{Rules().path}/{rollout.NAME}"
FAR = 4e9


class Crash(BaseException):
    """The controller's process is gone."""


class Stepped(Api):
    """An Api whose every request waits to be let go, and reaches the double without a network."""

    def __init__(self, cluster: FakeCluster, gate: Callable[[], None]) -> None:
        super().__init__(None, "double", dict)
        self.cluster, self.gate = cluster, gate

    def _answer(self, method: str, target: str, data: bytes | None, *_rest: Any) -> bytes:
        self.gate()
        code, _headers, found = self.cluster.answer(method, target, json.loads(data) if data else None)
        if code >= 300:
            reason = found.get("reason", "")
            raise ApiFault(f"{method} {target}", str(found.get("message")), "double", "", status=code, reason=reason)
        return json.dumps(found).encode()


class Worker:
    """One fork of an ansible-playbook, working on one node after the other."""

    def __init__(self, cluster: FakeCluster, holder: Holder) -> None:
        self.cluster, self.holder = cluster, holder
        self.turn, self.stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.node, self.busy, self.crashing = "", False, False
        self.broken: Exception | None = None

    def begin(self, node: str, budget: int) -> None:
        self.busy, self.node = True, node
        threading.Thread(target=self._work, args=(node, budget), daemon=True).start()
        self.stopped.acquire()

    def step(self) -> None:
        """Let the next request through, and wait for the one after it."""
        self.turn.release()
        self.stopped.acquire()
        if self.broken:
            raise self.broken

    def crash(self) -> None:
        if self.busy:
            self.crashing = True
            self.step()

    def _gate(self) -> None:
        self.stopped.release()
        self.turn.acquire()
        if self.crashing:
            raise Crash

    def _work(self, node: str, budget: int) -> None:
        api, request = Stepped(self.cluster, self._gate), Request(node, self.holder, "test", FAR)
        rules = Rules(str(budget), known=NAMES)
        try:
            session.drain(api, request, Wanted(), session.Jobs(), 60, rules, 0)
            session.readmit(api, request, 0, rules)
        except (GpuError, Crash):
            pass
        except Exception as error:
            self.broken = error
        finally:
            self.busy = False
            self.stopped.release()


class RolloutMachine(RuleBasedStateMachine):
    """The world: five GPU nodes, two controllers with two forks each, that may crash and come again, an administrator."""

    def __init__(self) -> None:
        super().__init__()
        deadline.POLL_S = 0.0
        self.cluster = FakeCluster(serve=False)
        for name in NAMES:
            self.cluster.add_node(name, gpus=8)
        add_pod(self.cluster, pod("web", node=NAMES[0]))
        self.cluster.put(LEDGER, {"metadata": {"name": rollout.NAME}, "data": {}})
        self.serial, self.budget = 0, 1
        self.administrator: set[str] = set()
        self.dead: set[Holder] = set()
        self.workers: dict[str, Worker] = {}
        for controller in ("one", "two"):
            self._start(controller)
        self._lives = drain_holder.lives
        drain_holder.lives = self._alive  # type: ignore[assignment]

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            for worker in self.workers.values():
                worker.crash()
            drain_holder.lives = self._lives

    def _start(self, controller: str) -> None:
        """Two forks of one run."""
        self.serial += 1
        holder = Holder("root", controller, self.serial, self.serial)
        self.workers.update({f"{controller}-{fork}": Worker(self.cluster, holder) for fork in "ab"})

    def _alive(self, holder: Holder, *_rest: Any) -> bool:
        return holder not in self.dead

    @initialize(budget=st.integers(1, 2))
    def decide(self, budget: int) -> None:
        self.budget = budget

    @rule(worker=st.sampled_from(WORKERS), node=st.sampled_from(NAMES))
    def begin(self, worker: str, node: str) -> None:
        """A run has each node once, so its forks never have the same."""
        at_work = {w.node for name, w in self.workers.items() if w.busy and name[:3] == worker[:3]}
        if not self.workers[worker].busy and node not in at_work:
            self.workers[worker].begin(node, self.budget)

    @rule(worker=st.sampled_from(WORKERS), requests=st.integers(1, 4))
    def go_on(self, worker: str, requests: int) -> None:
        for _request in range(requests):
            self.go_on_once(worker)

    @rule(requests=st.integers(1, 6))
    def go_on_in_step(self, requests: int) -> None:
        """All of them a request each, again and again: what most races need."""
        for _request in range(requests):
            for worker in WORKERS:
                self.go_on_once(worker)

    def go_on_once(self, worker: str) -> None:
        if self.workers[worker].busy:
            self.workers[worker].step()

    @rule(controller=st.sampled_from(["one", "two"]))
    def crash_and_come_again(self, controller: str) -> None:
        for fork in "ab":
            self.workers[f"{controller}-{fork}"].crash()
            self.dead.add(self.workers[f"{controller}-{fork}"].holder)
        self._start(controller)

    @rule(node=st.sampled_from(NAMES), cordon=st.booleans())
    def administrate(self, node: str, cordon: bool) -> None:
        """Cordon or uncordon as kubectl does: nothing is written where the node is so already."""
        if bool(self.cluster.node(node)["spec"].get("unschedulable")) == cordon:
            return
        self.cluster.write(node, {"spec": {"unschedulable": cordon or None}}, "kubectl")
        self.administrator = self.administrator | {node} if cordon else self.administrator - {node}

    @invariant()
    def our_cordons_never_exceed_the_budget(self) -> None:
        assert len(self._ours()) <= self.budget, self._ours()

    @invariant()
    def the_living_are_promised_no_more_than_the_budget(self) -> None:
        """What comes before the cordon is judged too, so that a race shows before it does harm."""
        promised = self.cluster.objects[LEDGER]["data"].values()
        assert sum(self._alive(Holder(**json.loads(text)["holder"])) for text in promised) <= self.budget

    @invariant()
    def an_administrators_cordon_is_never_undone(self) -> None:
        for node in self.administrator:
            assert self.cluster.node(node)["spec"].get("unschedulable"), node

    def _ours(self) -> list[str]:
        found = []
        for name in NAMES:
            node = self.cluster.node(name)
            managers = [entry["manager"] for entry in node["metadata"]["managedFields"]]
            if node["spec"].get("unschedulable") and "t9k.gpu" in managers:
                found.append(name)
        return found

    def finish(self) -> None:
        """Let all come to their end, then run once more over every node: nothing of ours may be left."""
        for worker in self.workers.values():
            while worker.busy:
                worker.step()
            self.dead.add(worker.holder)
        self._start("last")
        for node in NAMES:
            self.workers["last-a"].begin(node, self.budget)
            while self.workers["last-a"].busy:
                self.workers["last-a"].step()
        assert self._ours() == []
        assert not self.cluster.objects[LEDGER]["data"] or len(self.administrator) >= self.budget
