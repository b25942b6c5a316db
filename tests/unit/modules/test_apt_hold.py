"""Holding and releasing packages: the plan, the module with a real dpkg in a folder of its own, and dpkg's lock."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import hold as debian_hold
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package, read_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import is_driver
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.modules import apt_hold

DRIVER = Package("nvidia-driver-525-server", "amd64", "525.125.06-0ubuntu0.20.04.2", "install", "installed")
UTILS = Package("nvidia-utils-525-server", "amd64", "525.125.06-0ubuntu0.20.04.2", "hold", "installed")
LIB_AMD64 = Package("libnvidia-compute-525-server", "amd64", "525.125.06-1", "install", "installed", "same")
LIB_I386 = Package("libnvidia-compute-525-server", "i386", "525.125.06-1", "install", "installed", "same")
GONE = Package("nvidia-driver-515", "amd64", "515.86.01-1", "deinstall", "config-files")
LATER = Package("nvidia-driver-535", "amd64", None, "hold", "not-installed")
KERNEL = Package("linux-image-5.4.0-155-generic", "amd64", "5.4.0-155.172", "hold", "installed")
BASH = Package("bash", "amd64", "5.2.15-2+b13", "install", "installed", "foreign")
ALL = (DRIVER, UTILS, LIB_AMD64, LIB_I386, GONE, LATER, KERNEL, BASH)
NEW = Package("nvidia-driver-550", "amd64", None, "unknown", "not-installed")


@pytest.mark.parametrize(
    ("patterns", "state", "exclusive", "expected"),
    [
        (["bash"], "held", False, {"bash:amd64": ("install", "hold")}),
        (["bash"], "unheld", False, {"bash:amd64": ("install", "install")}),
        (["nvidia-utils-525-server"], "held", False, {"nvidia-utils-525-server:amd64": ("hold", "hold")}),
        (["nvidia-utils-525-server"], "unheld", False, {"nvidia-utils-525-server:amd64": ("hold", "install")}),
        (
            ["nvidia-*"],  # what is there or held for later, not what was left behind
            "held",
            False,
            {
                "nvidia-driver-525-server:amd64": ("install", "hold"),
                "nvidia-driver-535:amd64": ("hold", "hold"),
                "nvidia-utils-525-server:amd64": ("hold", "hold"),
            },
        ),
        (["libnvidia-*:i386"], "held", False, {"libnvidia-compute-525-server:i386": ("install", "hold")}),
        (
            ["libnvidia-compute-525-server"],
            "held",
            False,
            {
                "libnvidia-compute-525-server:amd64": ("install", "hold"),
                "libnvidia-compute-525-server:i386": ("install", "hold"),
            },
        ),
        (["nvidia-driver-515"], "held", False, {"nvidia-driver-515:amd64": ("deinstall", "hold")}),
        (["nvidia-driver-515"], "unheld", False, {}),
        (["nvidia-driver-535"], "unheld", False, {"nvidia-driver-535:amd64": ("hold", "unknown")}),
        (["nvidia-driver-550"], "held", False, {"nvidia-driver-550:amd64": ("unknown", "hold")}),
        (["nvidia-driver-550"], "unheld", False, {}),
        (
            ["nvidia-driver-525-server"],  # exclusive: other held driver packages go, a held kernel stays
            "held",
            True,
            {
                "nvidia-driver-525-server:amd64": ("install", "hold"),
                "nvidia-driver-535:amd64": ("hold", "unknown"),
                "nvidia-utils-525-server:amd64": ("hold", "install"),
            },
        ),
    ],
)
def test_plan(patterns: list[str], state: str, exclusive: bool, expected: dict[str, tuple[str, str]]) -> None:
    selections = debian_hold.plan(
        patterns, ALL, state, is_driver if exclusive else None, (NEW,) if "nvidia-driver-550" in patterns else ()
    )
    assert {s.label: (s.selection_before, s.selection_after) for s in selections} == expected


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (["no-such"], "neither dpkg nor apt knows no-such"),
        (["nvidia-9*"], "no installed package matches nvidia-9[*]"),
        (["nvidia-driver-51*"], "no installed package matches nvidia-driver-51[*]"),  # only left-over files
        (["bash:i386", "x*", "bash"], "matches x[*]; neither dpkg nor apt knows bash:i386"),
    ],
)
def test_plan_refuses_what_matches_nothing(patterns: list[str], words: str) -> None:
    with pytest.raises(GpuError, match=words):
        debian_hold.plan(patterns, ALL, "held")


def test_lookup_asks_apt_once_for_names_new_to_dpkg() -> None:
    asked = []

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        asked.append(argv)
        shown = "Package: a\nArchitecture: amd64\n\nPackage: b\nArchitecture: i386\nMulti-Arch: same\n"
        return Result(tuple(argv), 100, shown, "E: No packages found")

    assert debian_hold.lookup(run, []) == ()
    known = debian_hold.lookup(run, ["a", "b:i386", "c"])
    assert [package.spec for package in known] == ["a:amd64", "b:i386"]
    assert known[1].multi_arch == "same"
    assert asked == [["apt-cache", "show", "--no-all-versions", "a", "b:i386", "c"]]


class Dpkg:
    """A stand-in that answers from a list and keeps what it was asked."""

    def __init__(self, *answers: Result) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[list[str], str | None]] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.calls.append((argv, stdin))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


OK = Result(("dpkg",), 0, "", "")
BUSY = Result(("dpkg",), 2, "", "dpkg: error: dpkg frontend lock was locked by another process with pid 12\n")
BUSY_FOCAL = Result(("dpkg",), 2, "", "dpkg: error: dpkg status database is locked by another process\n")


def test_all_packages_are_one_transaction() -> None:
    many = [Package(f"nvidia-{number}", "amd64", "1", "install", "installed") for number in range(500)]
    dpkg = Dpkg(OK)
    debian_hold.apply(dpkg, debian_hold.plan(["nvidia-*"], many, "held"))
    assert len(dpkg.calls) == 1
    assert dpkg.calls[0][0] == ["dpkg", "--set-selections"]
    assert (dpkg.calls[0][1] or "").count(":amd64 hold\n") == 500


def test_nothing_is_run_where_nothing_changes() -> None:
    dpkg = Dpkg(OK)
    debian_hold.apply(dpkg, debian_hold.plan(["nvidia-utils-525-server"], ALL, "held"))
    assert dpkg.calls == []


def test_waits_for_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    dpkg = Dpkg(BUSY, BUSY_FOCAL, OK)
    debian_hold.apply(dpkg, debian_hold.plan(["bash"], ALL, "held"), lock_timeout_s=5)
    assert (len(dpkg.calls), slept) == (3, [1, 1])


def test_says_who_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "var/lib/dpkg"
    folder.mkdir(parents=True)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with (folder / "lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        own = (
            Path("/proc/self/cmdline").read_text().replace("\0", " ").strip()[:120]
        )  # a worker's has no "pytest" in it
        with pytest.raises(GpuError, match=re.escape(f"held by process {os.getpid()} ({own}), still after 2 s")):
            selections = debian_hold.plan(["bash"], ALL, "held")
            debian_hold.apply(Dpkg(BUSY), selections, root=str(tmp_path), lock_timeout_s=2)
    assert slept == [1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        Result(("dpkg",), 0, "", "dpkg: warning: package not in status nor available database at line 1: x"),
        Result(("dpkg",), 2, "", "dpkg: error: requested operation requires superuser privilege"),
        Result(("dpkg",), 127, "", "dpkg: not found"),
    ],
)
def test_an_ignored_name_and_a_failure_are_errors(answer: Result) -> None:
    with pytest.raises(GpuError, match="exit status"):
        debian_hold.apply(Dpkg(answer), debian_hold.plan(["bash"], ALL, "held"))


def test_a_selection_that_did_not_arrive_is_an_error() -> None:
    selections = debian_hold.plan(["bash"], ALL, "held")
    with pytest.raises(GpuError, match="bash:amd64 on hold"):
        debian_hold.verify(selections, ALL)


# The module, with this machine's dpkg working on a folder of its own.

STANZA = """Package: {p.name}
Status: {p.want} ok {p.status}
Maintainer: Somebody <somebody@example.org>
Architecture: {p.architecture}
Multi-Arch: {p.multi_arch}
Version: {p.version}
Description: stand-in entry
"""
AVAILABLE = """Package: {name}
Architecture: amd64
Maintainer: Somebody <somebody@example.org>
Version: 9
Filename: x.deb
Size: 1
MD5sum: d41d8cd98f00b204e9800998ecf8427e
Description: stand-in
"""

#: In a folder of the test; dpkg asks who wants to write there, but for its setting ``force-not-root`` (dpkg(1)).
real_dpkg = pytest.mark.needs("dpkg", "apt-get")

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "var/lib/dpkg"
    for name in ("updates", "info", "triggers"):
        (folder / name).mkdir(parents=True)
    (folder / "available").touch()
    (folder / "arch").write_text("amd64\ni386\n")
    there = [p for p in ALL if p.present or p.status == "config-files"]
    (folder / "status").write_text("\n".join(STANZA.format(p=p) for p in there))
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "Packages").write_text("\n".join(AVAILABLE.format(name=n) for n in ("nvidia-driver-550", "other")))
    for name in ("etc/apt/sources.list.d", "etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/cache/apt/archives/partial").mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    options = ["-o", f"Dir={tmp_path}", "-o", f"Dir::State::status={folder}/status", "-o", "APT::Sandbox::User=root"]
    if shutil.which("apt-get"):  # not every test here asks it
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
    return tmp_path


@pytest.fixture
def call(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    (root / ".dpkg.cfg").write_text("force-not-root\n")
    monkeypatch.setenv("HOME", str(root))

    def call(check: bool = False, **params: Any) -> dict[str, Any]:
        arguments = {"root": str(root), **params, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            apt_hold.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call


def selections(root: Path) -> dict[str, str]:
    return {p.spec: p.want for p in read_status(str(root))}


@real_dpkg
@pytest.mark.parametrize(
    "params",
    [
        {"name": ["nvidia-*", "libnvidia-*:amd64"]},
        {"name": ["nvidia-driver-525-server", "nvidia-driver-550"]},
        {"name": ["nvidia-utils-525-server", "linux-image-5.4.0-155-generic"], "state": "unheld"},
        {"name": ["bash", "nvidia-driver-515"], "exclusive": True},
        {"nvidia": True},
        {"nvidia": True, "state": "unheld"},
    ],
)
def test_set_check_again(root: Path, call: Call, params: dict[str, Any]) -> None:
    before = selections(root)
    files = {p: p.read_bytes() for p in (root / "var/lib/dpkg").rglob("*") if p.is_file()}
    checked = call(check=True, **params)
    assert {p: p.read_bytes() for p in (root / "var/lib/dpkg").rglob("*") if p.is_file()} == files
    done = call(**params)
    assert done == checked
    assert done["changed"] is True
    assert selections(root) == {
        **before,
        **{f"{p['name']}:{p['architecture']}": p["selection_after"] for p in done["packages"]},
    }
    again = call(**params)
    assert again["changed"] is False
    assert again["held"] == done["held"]


@real_dpkg
def test_the_record_tells_our_holds_from_those_of_others(root: Path, call: Call) -> None:
    """The kernel was held before, and the driver is nobody else's to hold."""
    record = root / "var/lib/t9k-gpu/held"
    both = {"name": ["bash", DRIVER.name, KERNEL.name], "record": "/var/lib/t9k-gpu/held"}
    call(check=True, **both)
    assert not record.exists()
    call(**both)
    assert record.read_text() == "bash\n"
    call(**{**both, "name": ["other"]})
    assert record.read_text() == "bash\nother\n"
    call(**both, state="unheld")
    assert record.read_text() == "other\n"
    call(**{**both, "name": ["other"]}, state="unheld")
    assert not record.exists()


@real_dpkg
@pytest.mark.parametrize("state", ["held", "unheld"])
def test_an_interrupted_run_loses_no_hold(root: Path, call: Call, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    record = root / "held"
    if state == "unheld":
        call(name=["bash"], record="/held")
    with monkeypatch.context() as broken:
        broken.setattr(debian_hold, "apply", lambda *_arguments: (_ for _ in ()).throw(GpuError("a", "b", "c", "d")))
        assert call(name=["bash"], record="/held", state=state)["failed"]
    assert record.read_text() == "bash\n"
    call(name=["bash"], record="/held", state=state)
    assert (record.read_text() if record.exists() else "") == ("bash\n" if state == "held" else "")


@real_dpkg
def test_reports_each_package_and_the_diff(call: Call) -> None:
    answer = call(name=["nvidia-*"])
    assert answer["packages"] == [
        {
            "name": "nvidia-driver-525-server",
            "architecture": "amd64",
            "version": "525.125.06-0ubuntu0.20.04.2",
            "installed": True,
            "selection_before": "install",
            "selection_after": "hold",
        },
        {
            "name": "nvidia-utils-525-server",
            "architecture": "amd64",
            "version": "525.125.06-0ubuntu0.20.04.2",
            "installed": True,
            "selection_before": "hold",
            "selection_after": "hold",
        },
    ]
    assert answer["diff"]["before"] == '{\n  "nvidia-driver-525-server:amd64": "install"\n}\n'
    assert answer["diff"]["after"] == '{\n  "nvidia-driver-525-server:amd64": "hold"\n}\n'


@real_dpkg
def test_a_package_for_later_is_held_and_forgotten_again(root: Path, call: Call) -> None:
    before = selections(root)
    assert call(name="nvidia-driver-550")["packages"][0]["selection_before"] == "unknown"
    assert selections(root)["nvidia-driver-550:amd64"] == "hold"
    assert call(name="nvidia-driver-550", state="unheld")["changed"] is True
    assert selections(root) == before
    assert call(name="nvidia-driver-550", state="unheld")["changed"] is False


@real_dpkg
@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": ["bash", "no-such"]}, "neither dpkg nor apt knows no-such"),
        ({"name": ["bash", "cuda-*"]}, "no installed package matches cuda-*"),
        ({}, "neither name nor nvidia"),
        ({"name": ["bash"], "state": "unheld", "exclusive": True}, "use exclusive with state=held"),
        ({"name": ["bash"], "state": "gone"}, "state must be one of"),
    ],
)
def test_refuses_and_changes_nothing(root: Path, call: Call, params: dict[str, Any], words: str) -> None:
    before = selections(root)
    answer = call(**params)
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert selections(root) == before


@real_dpkg
def test_no_driver_to_hold(root: Path, call: Call) -> None:
    (root / "var/lib/dpkg/status").write_text(STANZA.format(p=BASH))
    assert "Next: install it first" in call(nvidia=True)["msg"]
    assert call(nvidia=True, state="unheld")["changed"] is False


@real_dpkg
def test_a_busy_dpkg(root: Path, call: Call) -> None:
    holder = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(root / "var/lib/dpkg/lock-frontend")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        answer = call(name="bash", lock_timeout=1)
        process.kill()
    assert f"process {process.pid} (" in answer["msg"]
    assert "still after 1 s" in answer["msg"]
    assert call(name="bash")["changed"] is True
