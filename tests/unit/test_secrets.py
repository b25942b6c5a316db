"""A secret that the inventory holds is in nothing that a run shows: plans, diffs, messages, the fleet table, the report.

However much a run tells: the last tests are runs of ansible with ``-vvv``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible.release import __version__ as core_version
from node_builder import bare_node, package_plan
from operator_cluster import finished, params

from ansible_collections.t9k.gpu.plugins.action.gpu_report import render
from ansible_collections.t9k.gpu.plugins.filter.driver_nodes import driver_nodes
from ansible_collections.t9k.gpu.plugins.filter.gpu_operator import with_content
from ansible_collections.t9k.gpu.plugins.filter.gpu_summary import gpu_summary
from ansible_collections.t9k.gpu.plugins.filter.plan_lines import plan_lines
from ansible_collections.t9k.gpu.plugins.filter.run_lines import run_lines
from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import entries, shown
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.files import SOURCES
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted as Driver
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted as Operator
from ansible_collections.t9k.gpu.plugins.module_utils._report.model import build
from ansible_collections.t9k.gpu.plugins.modules import gpu_operator_plan, nvidia_driver_plan

#: Since ansible-core 2.21 a module returns its arguments only where it is asked to.
INJECT = {} if core_version.startswith(("2.19", "2.20")) else {"_ansible_inject_invocation": True}
ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-p@zq9x"
ENTRY = Entry((f"https://gpu:{SECRET}@mirror.internal/ubuntu",), ("jammy",), ("restricted",))


def test_the_password_of_a_mirror() -> None:
    target = Target("535.1", "proprietary", package_plan("535.1"), sources={SOURCES: ENTRY})
    steps = driver_plan.plan(bare_node(), Driver(drain="never"), target)
    assert "sources" in [step.name for step in steps]
    lines = [step.to_dict() for step in steps]
    plan = {"has_gpu": True, "steps": lines, "faults": [], "node": {"driver": {}, "gpus": []}}
    host = {"inventory_hostname": "a", "__driver_plan": plan, "__driver_applied": plan}
    nodes = driver_nodes([host])
    told = [
        *plan_lines(plan),
        *run_lines([host]),
        gpu_summary(nodes),
        render(build(nodes, "t", "now")),
        json.dumps([nodes, plan]),
    ]
    assert "mirror.internal" in "".join(told)
    assert not leaks(told)


@pytest.mark.parametrize(
    "text",
    [
        f"E: http://u:{SECRET}@mirror/x is not signed",
        f"W: Failed to fetch https://{SECRET}@mirror/x",
        f"https://a:{SECRET}@one/ https://b:{SECRET}@two/",
    ],
)
def test_what_apt_says_of_a_mirror(text: str) -> None:
    assert not leaks([shown(text)])
    assert "mirror" in shown(text) or "two" in shown(text)


def test_a_mirror_that_is_refused() -> None:
    with pytest.raises(GpuError) as refused:
        stanza(replace(ENTRY, suites=("jammy main",), uris=(f"https://gpu:{SECRET}@mirror.internal/a b",)))
    assert not leaks([str(refused.value)])


@pytest.mark.parametrize("known", [{}, {"stringData": {"key": f"old-{SECRET}"}}])
def test_a_secret_among_the_manifests(known: dict[str, Any]) -> None:
    """Made, or changed: the diff says which fields, not what they hold."""
    item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "gpu-operator"}}
    wanted = Operator.of(params(manifests=[{**item, "stringData": {"key": SECRET}}]))
    state = finished(objects={wanted.ref(item).path: {**item, **known} if known else None})
    steps = operator_plan.plan(state, wanted)
    assert "objects" in [step.name for step in steps]
    result = gpu_operator_plan.result_of(state, wanted, steps)
    host = {"inventory_hostname": "a", "__gpu_operator_first": result}
    told = [json.dumps(result), *run_lines([host])]
    assert "token" in "".join(told)
    assert not leaks(told)


def test_a_secret_reaches_the_one_task_that_shows_nothing() -> None:
    """The plan has no content of it: the role takes that from the inventory, for the object that the plan means."""
    item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "labels": {"a": "b"}}}
    other = {**item, "metadata": {"name": "token", "namespace": "elsewhere"}, "data": {"key": "b3RoZXI="}}
    manifests = [other, {**item, "type": "Opaque", "stringData": {"key": SECRET}}]
    queue = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "token"}, "data": {"a": "b"}}
    meant = {**item, "type": "Opaque", "metadata": {**item["metadata"], "namespace": "gpu-operator"}}  # type: ignore[dict-item]
    assert with_content([queue, meant], manifests) == [queue, {**meant, "stringData": {"key": SECRET}}]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a module writes to the log of its machine."""
    lines: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.has_journal", False)
    monkeypatch.setattr(AnsibleModule, "_log_to_syslog", lambda _module, text: lines.append(text))
    return lines


def test_what_the_plan_of_the_cluster_returns_and_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    """And what else is in the manifests stays to be read, also where a Secret has the same word in it."""
    monkeypatch.setattr(
        gpu_operator_plan, "run", lambda _module, given: {"said": "gpu-operator, 8081", "n": len(given["manifests"])}
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "gpu-operator"}}
    manifests = [
        {**secret, "stringData": {"key": SECRET, "where": "gpu-operator"}},
        {**secret, "kind": "Service", "spec": {"ports": [{"port": 8081}]}},
    ]
    given = {name: value for name, value in params(manifests=manifests).items() if value not in ({}, [], "")}
    with patch_module_args({**given, "api_key": "k3y-of-the-cluster", **INJECT}), pytest.raises(SystemExit):
        gpu_operator_plan.main()
    told = json.loads(capsys.readouterr().out)
    assert (told["said"], told["n"]) == ("gpu-operator, 8081", 2)
    shown_arguments = told["invocation"]["module_args"]
    assert shown_arguments["manifests"] == [secret, manifests[1]]
    assert shown_arguments["api_key"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert logged and not leaks([json.dumps(told), *logged])


def test_the_password_of_a_registry_goes_into_a_task_that_shows_nothing() -> None:
    """The plan knows the names alone; the one task that has the password may not show it."""
    tasks = {path: path.read_text() for path in (ROOT / "roles/gpu_operator").rglob("*.yml")}
    using = [path for path, text in tasks.items() if re.search(r"item\.password|\.password\b", text)]
    assert using
    for path in using:
        found = [task for task in flat(yaml.safe_load(tasks[path])) if "password" in json.dumps(task)]
        assert found
        assert [task for task in found if not (task.get("no_log") or hides_its_password(task))] == []


def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        parts = [task[part] for part in ("block", "rescue", "always") if part in task]
        yield from ([task] if not parts else [])
        for part in parts:
            yield from flat(part)


def hides_its_password(task: dict[str, Any]) -> bool:
    """One of our modules does where its argument spec says so."""
    return any(
        re.search(r'"chart_password": {.*"no_log": True', (ROOT / f"plugins/modules/{name[8:]}.py").read_text())
        for name in task
        if name.startswith("t9k.gpu.")
    )


def test_what_the_plan_returns_and_logs_of_a_mirror(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    """The journal of a node has the arguments of every module; and what is no password stays to be read."""
    wanted: dict[str, Any] = {"supported_os": {}, "source": {"kind": "mirror", "suites": ["jammy"]}}
    wanted["source"]["uris"] = [*ENTRY.uris, "https://plain.internal/"]
    said = {
        **nvidia_driver_plan.driver_result.NOTHING,
        "steps": [],
        "said": f"{ENTRY.uris[0]} and https://plain.internal/",
    }
    monkeypatch.setattr(nvidia_driver_plan, "wait", lambda _run, _params: {**said, "diff": []})
    with patch_module_args(wanted), pytest.raises(SystemExit):
        nvidia_driver_plan.main()
    told = capsys.readouterr().out
    assert "https://********mirror.internal/ubuntu and https://plain.internal/" in told
    assert logged and not leaks([told, *logged])


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - t9k.gpu.nvidia_driver_plan: {source: "{{ mirror }}", supported_os: {}}
    - t9k.gpu.apt_login: {path: "{{ place }}/auth.conf", addresses: ["https://mirror.internal/ubuntu"], logins: "{{ mirror.uris }}"}
    - ansible.builtin.include_role: {name: t9k.gpu.driver, tasks_from: plan}
      vars: {driver_environment: "{{ proxies }}"}
"""


def test_a_run_that_tells_everything(tmp_path: Path) -> None:
    """The password reaches apt's file and nothing else; one for a proxy is refused before Ansible makes an argument of it."""
    secret = SECRET.replace("@", "%40")
    uris = [f"https://gpu:{secret}@mirror.internal/ubuntu"]
    variables = {
        "place": str(tmp_path),
        "mirror": {"kind": "mirror", "uris": uris, "suites": ["jammy"]},
        "proxies": {"https_proxy": f"http://gpu:{secret}@proxy.internal:3128", "no_proxy": "localhost"},
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(tmp_path),
    }
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    ansible = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        "-vvvv",
        "--diff",
    ]
    argv = [*ansible, "play.yml", "-e", "@variables.json"]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_INJECT_INVOCATION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert (tmp_path / "auth.conf").read_text() == entries(uris), told
    assert "Wanted: driver_environment without names and passwords" in told and "(https_proxy)" in told
    assert "https://********mirror.internal/ubuntu" in told
    assert secret not in told and not leaks([told])


def leaks(told: list[str]) -> list[str]:
    """A part of it is a leak too: a password may hold the character that ends it."""
    return [text for text in told if any(part in text for part in (SECRET, *SECRET.split("@")))]
