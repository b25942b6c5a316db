"""Which run holds a node and whether it lives, on a made-up /proc."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._drain import holder

HERE = socket.gethostname()


def process(
    proc: Path, pid: int, parent: int, started: int, *words: str, name: str = "python3", state: str = "S"
) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    fields = [state, str(parent), *["0"] * 17, str(started)]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)} 0\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """An ansible-playbook, started by a task of another one, with a worker that runs the module through a shell."""
    process(tmp_path, 1, 0, 1, "/sbin/init")
    process(tmp_path, 10, 1, 100, "/venv/bin/python3", "/venv/bin/ansible-playbook", "outer.yml")
    process(tmp_path, 11, 10, 110, "python3", "/root/AnsiballZ_command.py")
    process(tmp_path, 20, 11, 200, "/venv/bin/python3", "/venv/bin/ansible-playbook", "site.yml")
    process(tmp_path, 21, 20, 210, "/venv/bin/python3", "/venv/bin/ansible-playbook", "site.yml", name="a) b (c")
    process(tmp_path, 22, 21, 220, "/bin/sh", "-c", "python3 /x/ansible_collections/AnsiballZ_k8s_node_drain.py")
    process(tmp_path, 23, 22, 230, "python3", "/root/.ansible/tmp/AnsiballZ_k8s_node_drain.py")
    process(tmp_path, 30, 1, 300, state="Z")
    return tmp_path


def test_the_run_is_the_nearest_ansible_playbook_not_its_worker(proc: Path) -> None:
    found = holder.this_run(23, proc)
    assert (found.pid, found.started, found.machine) == (20, 200, HERE)


def test_without_one_the_run_has_no_process(tmp_path: Path) -> None:
    assert holder.this_run(23, tmp_path).pid == 0


@pytest.mark.parametrize(
    ("found", "until", "alive"),
    [
        pytest.param(holder.Holder("root", HERE, 20, 200), 0, True, id="here"),
        pytest.param(holder.Holder("root", HERE, 99, 200), 1000, False, id="gone"),
        pytest.param(holder.Holder("root", HERE, 20, 199), 1000, False, id="number-came-back"),
        pytest.param(holder.Holder("root", HERE, 30, 300), 1000, False, id="zombie"),
        pytest.param(holder.Holder("root", HERE, 0, 0), 1000, False, id="unknown-process"),
        pytest.param(holder.Holder("root", "elsewhere", 20, 200), 501, True, id="elsewhere"),
        pytest.param(holder.Holder("root", "elsewhere", 20, 200), 500, False, id="elsewhere-too-long"),
    ],
)
def test_lives(proc: Path, found: holder.Holder, until: float, alive: bool) -> None:
    assert holder.lives(found, until, 500, proc) is alive
