"""The module on trees of captures: no GPU, faults, check mode, and that it never changes anything."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from node_tree import Tree, bare_debian, h200_node

from ansible_collections.t9k.gpu.plugins.doc_fragments import driver
from ansible_collections.t9k.gpu.plugins.module_utils._driver import before as driver_before
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import state as driver_state
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe
from ansible_collections.t9k.gpu.plugins.modules import nvidia_driver_plan

SUPPORTED = {"ubuntu-24.04": {"branch": "580"}}
#: The blacklist file is not on these trees, and is not what most of these tests are about.
WANTED: dict[str, Any] = {"supported_os": SUPPORTED, "blacklist": False}
UBUNTU_UNIT = "units/ubuntu-server.service"


class Module:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, tree: Tree, **arguments: Any) -> dict[str, Any]:
        """Run it on the tree; the tree is as it was afterwards."""
        reader = partial(_node_state_read, root=str(tree.root))
        self.monkeypatch.setattr(nvidia_driver_plan.driver_state, "read", reader)
        self.monkeypatch.setattr(nvidia_driver_plan, "ROOT", str(tree.root))
        self.monkeypatch.setattr(nvidia_driver_plan, "runner", lambda _module: tree.run)
        before = tree.snapshot()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            nvidia_driver_plan.main()
        assert tree.snapshot() == before
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result


_node_state_read = driver_state.read


@pytest.fixture
def module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Module:
    return Module(capsys, monkeypatch)


def test_no_gpu(module: Module, tmp_path: Path, fixtures: Path) -> None:
    result = module(Tree(tmp_path, fixtures), **WANTED)
    assert (result["has_gpu"], result["changed"]) == (False, False)
    assert (result["steps"], result["faults"], result["problems"], result["warnings_found"]) == ([], [], [], [])
    assert (result["reboot_pending"], result["previous"]) == (None, None)


def test_a_node_that_is_as_wanted(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    result = module(tree, **WANTED, _ansible_check_mode=True)
    assert (result["has_gpu"], result["changed"], result["steps"], result["faults"]) == (True, False, [], [])
    assert (result["problems"], result["diff"]) == ([], [])
    assert result["target_version"] == "580.159.04"
    assert result["node"]["driver"]["gsp_enabled"] is True
    assert tree.calls == [["nvidia-smi", "-q", "-x"]]  # apt was not asked, and nvidia-smi once


@pytest.mark.parametrize("check", [False, True])
def test_changed_and_the_diff_are_for_check_mode(module: Module, tmp_path: Path, fixtures: Path, check: bool) -> None:
    tree = h200_node(tmp_path, fixtures, UBUNTU_UNIT)
    result = module(tree, supported_os=SUPPORTED, drain="never", _ansible_check_mode=check)
    assert [step["name"] for step in result["steps"]] == ["files", "persistence"]
    assert result["changed"] is check
    headers = [entry["after_header"] for entry in result["diff"]]
    assert headers == ([f"{modprobe.BLACKLIST_PATH} (after)", "persistence (after)"] if check else [])


def test_again_gives_the_same(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures, UBUNTU_UNIT)
    first, second = (module(tree, **WANTED) for _time in range(2))
    assert first == second


def test_faults_are_results_and_leave_no_steps(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = bare_debian(tmp_path, fixtures)
    tree.write("/usr/bin/nvidia-uninstall")
    result = module(tree, **WANTED, _ansible_check_mode=True)
    assert len(result["faults"]) == 2
    assert "debian-12" in result["faults"][0]
    assert ".run installer" in result["faults"][1]
    assert (result["steps"], result["changed"], result["diff"]) == ([], False, [])
    assert not result.get("failed")


def test_gsp_cannot_be_switched_off_on_the_open_modules(module: Module, tmp_path: Path, fixtures: Path) -> None:
    result = module(h200_node(tmp_path, fixtures), **WANTED, gsp="disabled")
    (fault,) = result["faults"]
    assert "open kernel modules" in fault
    assert result["steps"] == []


class Clock:
    """Time that passes only by sleeping; what happens at a moment is done once it is reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moments: dict[int, Any]) -> None:
        self.now, self.moments = 0.0, moments
        monkeypatch.setattr(nvidia_driver_plan.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(nvidia_driver_plan.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [each for each in self.moments if each <= self.now]:
            self.moments.pop(moment)()


PROOF = {**WANTED, "after_change": True, "ready_timeout": 60}


@pytest.mark.parametrize(
    ("arguments", "ready_at", "failures", "seconds"),
    [
        (PROOF, 0, 0, None),
        (PROOF, 23, 0, 25),
        (PROOF, 90, 1, 60),
        ({**PROOF, "ready_timeout": 0}, 23, 1, None),
        ({**PROOF, "after_change": False}, 23, 1, None),
    ],
)
def test_a_driver_that_needs_a_while_is_waited_for_until_the_deadline(
    module: Module,
    tmp_path: Path,
    fixtures: Path,
    arguments: dict[str, Any],
    ready_at: int,
    failures: int,
    seconds: int | None,
) -> None:
    tree = h200_node(tmp_path, fixtures)
    sound, tree.smi = tree.smi, "No devices were found\n"
    clock = Clock(module.monkeypatch, {ready_at: lambda: setattr(tree, "smi", sound)})
    clock.sleep(0)
    result = module(tree, **arguments)
    assert (len(result["failures"]), clock.now) == (failures, seconds or 0)
    assert (result["waited"] or {}).get("seconds") == seconds
    assert seconds is None or "finds no GPU" in result["waited"]["for"][0]


def test_what_does_not_pass_by_itself_is_not_waited_for(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    tree.smi = "Failed to initialize NVML: Driver/library version mismatch\n"
    clock = Clock(module.monkeypatch, {})
    assert (len(module(tree, **PROOF)["failures"]), clock.now) == (1, 0)


def test_the_only_gpu_gone_from_the_bus_fails_the_proof(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    sound = driver_state.read(tree.run, 5, root=str(tmp_path))
    assert sound is not None
    tree.write(driver_files.BEFORE, driver_before.render(sound))
    shutil.rmtree(tmp_path / "sys/bus/pci/devices/0000:00:06.0")
    tree.smi = "No devices were found\n"
    result = module(tree, **{**PROOF, "ready_timeout": 0})
    assert [fault["code"] for fault in result["health"]] == ["smi_no_devices", "gpu_gone"]
    assert len(result["failures"]) == 2


def test_absent(module: Module, tmp_path: Path, fixtures: Path) -> None:
    result = module(h200_node(tmp_path, fixtures), **WANTED, state="absent", drain="never")
    assert [step["name"] for step in result["steps"]] == ["remove", "reboot"]
    assert result["target_version"] is None
    assert result["previous"] == {
        "version": "580.159.04",
        "kernel_modules": "open",
        "module_build": "dkms",
        "flavour": "server",
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "supported_os"),
        ({**WANTED, "flavour": "gaming"}, "flavour"),
        ({**WANTED, "source": {"kind": "floppy"}}, "kind"),
        ({**WANTED, "source": {"kind": "cuda"}}, "uris, suites"),
        ({**WANTED, "source": {"kind": "mirror", "uris": ["http://m/"]}}, "suites"),
        ({**WANTED, "source": {"kind": "local"}}, "directory"),
        ({**WANTED, "drian": "never"}, "drian"),
    ],
)
def test_refuses(module: Module, tmp_path: Path, fixtures: Path, arguments: dict[str, Any], expected: str) -> None:
    result = module(Tree(tmp_path, fixtures), **arguments)
    assert result["failed"] is True
    assert expected in result["msg"]


def spec_of(options: dict[str, Any]) -> dict[str, Any]:
    """The documented options in the form of an argument_spec."""
    kept = ("type", "choices", "default", "required", "elements")
    return {
        name: {
            **{key: option[key] for key in kept if key in option},
            **({"options": spec_of(option["suboptions"])} if "suboptions" in option else {}),
        }
        for name, option in options.items()
    }


def bare(spec: dict[str, Any]) -> dict[str, Any]:
    """An argument_spec without what only code has."""
    left_out = ("no_log", "required_if")
    return {
        name: {key: bare(v) if key == "options" else v for key, v in option.items() if key not in left_out}
        for name, option in spec.items()
    }


def test_the_documentation_is_the_argument_spec() -> None:
    fragment = yaml.safe_load(driver.ModuleDocFragment.DOCUMENTATION)["options"]
    documented = {**fragment, **yaml.safe_load(nvidia_driver_plan.DOCUMENTATION)["options"]}
    assert spec_of(documented) == bare(nvidia_driver_plan.ARGUMENTS)


def test_the_documentation_names_all_that_is_returned(module: Module, tmp_path: Path, fixtures: Path) -> None:
    documented = yaml.safe_load(nvidia_driver_plan.RETURN)
    result = module(h200_node(tmp_path / "gpu", fixtures, UBUNTU_UNIT), **WANTED)
    assert set(result) - {"invocation", "changed", "diff", "warnings", "deprecations"} == set(documented)
    assert set(result["steps"][0]) == set(documented["steps"]["contains"])
    without = module(Tree(tmp_path / "none", fixtures), **WANTED)
    always = {name for name, value in documented.items() if value["returned"] == "always"}
    assert set(without) - {"invocation", "changed", "warnings", "deprecations"} == always


def test_an_override_that_keeps_persistence_off_is_a_fault(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    override = "[Service]\nExecStart=\nExecStart=/usr/bin/nvidia-persistenced --no-persistence-mode\n"
    tree.write("/etc/systemd/system/nvidia-persistenced.service.d/override.conf", override)
    (fault,) = module(tree, **WANTED)["faults"]
    assert "override.conf" in fault and "set driver_persistence to false" in fault


def test_a_damaged_database_is_told_and_not_a_traceback(module: Module, tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    tree.write("/var/lib/dpkg/status", "Package: cut")
    told = module(tree, **WANTED)
    assert told["failed"] and "the database is damaged or cut short" in told["msg"]


@pytest.mark.parametrize(
    ("busy", "changes", "faults", "steps"),
    [
        ("refuse", True, 1, []),
        ("wait", True, 0, ["busy", "repair"]),
        ("ignore", True, 0, ["repair"]),
        ("refuse", False, 0, []),  # nothing disturbs, so nobody minds
    ],
)
def test_work_outside_kubernetes(
    module: Module, tmp_path: Path, fixtures: Path, busy: str, changes: bool, faults: int, steps: list[str]
) -> None:
    tree = h200_node(tmp_path, fixtures)
    if changes:
        whole = "Package: nvidia-utils-580-server\nStatus: hold ok installed"
        status = (tmp_path / "var/lib/dpkg/status").read_text()
        tree.write("/var/lib/dpkg/status", status.replace(whole, whole.replace("installed", "unpacked")))
    for name, text in {"comm": "train\n", "cgroup": "0::/system.slice/slurmstepd.scope/job_7\n"}.items():
        tree.write(f"/proc/42/{name}", text)
    (tmp_path / "proc/42/fd").mkdir()
    (tmp_path / "proc/42/fd/3").symlink_to("/dev/nvidia0")
    told = module(tree, **WANTED, busy=busy, drain="never")
    assert [step["name"] for step in told["steps"]] == steps
    assert len(told["faults"]) == faults
    assert all("42 (train in /system.slice/slurmstepd.scope/job_7)" in fault for fault in told["faults"])
