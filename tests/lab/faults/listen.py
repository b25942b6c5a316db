"""The runner's side of a run that asks at every task whether it may go on (callback/lab_faults.py)."""

from __future__ import annotations

import contextlib
import json
import random
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.lab.faults.scenario import Scenario, Watch
from tests.lab.faults.strike import Heal, Victim

CALLBACK = Path(__file__).parent / "callback"


class Listener(socketserver.ThreadingUnixStreamServer):
    """Answers the callback of the run, and strikes before it does where the point is a boundary."""

    daemon_threads = True

    def __init__(self, address: str, scenario: Scenario) -> None:
        super().__init__(address, _Handler)
        self.scenario, self.watch = scenario, Watch(scenario.point)
        self.victim: Victim | None = None
        self.ready = threading.Event()
        self.timers: list[threading.Timer] = []
        self.heal: Heal | None = None
        self.error: Exception | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a run needs to be stopped by this listener."""
        return {
            "T9K_LAB_FAULTS": str(self.server_address),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK),
            "ANSIBLE_CALLBACKS_ENABLED": "lab_faults",
        }

    def armed(self, victim: Victim) -> None:
        self.victim = victim
        self.ready.set()
        if self.scenario.point.when == "random":
            self.watch.come = True
            self.later(random.Random(self.scenario.seed).uniform(1, self.scenario.point.delay_s))

    def later(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.strike)
        self.timers.append(timer)
        timer.start()

    def strike(self) -> None:
        try:
            assert self.victim
            self.heal = self.scenario.strike(self.victim)
        except Exception as error:  # into the test's own thread, which reads it in join
            self.error = error

    def join(self) -> None:
        """All that was begun is done; an error of it is this run's error."""
        for timer in self.timers:
            timer.join()
        if self.error:
            raise self.error


class _Handler(socketserver.StreamRequestHandler):
    server: Listener

    def handle(self) -> None:
        self.server.ready.wait()
        if self.server.watch.sees(**json.loads(self.rfile.readline())):
            if self.server.scenario.point.when == "in":
                self.server.later(self.server.scenario.point.delay_s)
            else:
                self.server.strike()
        with contextlib.suppress(ConnectionError):  # the strike was against the run itself
            self.wfile.write(b"go\n")


@contextlib.contextmanager
def listening(scenario: Scenario) -> Iterator[Listener]:
    with tempfile.TemporaryDirectory() as folder:
        server = Listener(f"{folder}/socket", scenario)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
