"""apt's metadata and simulated transactions, and the order of Debian versions."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import compare, satisfies
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

ORDERED = [
    "20220217+3~deb12u1",
    "1:0.1",
    "1:1.1.10~rc1-1",
    "1:1.1.10-1",
    "1:1.1.10-1ubuntu1",
    "1:1.1.18-1",
]
DRIVERS = [
    "525.60.13-0ubuntu0.20.04.1",
    "525.125.06-0ubuntu0.20.04.2",
    "525.147.05-0ubuntu0.20.04.1",
    "525.147.05-1",
    "535.54.03-0ubuntu0.20.04.1",
    "535.261.03-1~deb12u1",
    "535.261.03-1",
    "535.261.03-1+b1",
    "580.65.06-0ubuntu0~gpu22.04.1",
]


@pytest.mark.parametrize("versions", [ORDERED, DRIVERS])
def test_order_of_versions(versions: list[str]) -> None:
    for low, left in enumerate(versions):
        for high, right in enumerate(versions):
            assert (compare(left, right) > 0) is (low > high), (left, right)
            assert (compare(left, right) == 0) is (low == high), (left, right)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_order_agrees_with_dpkg() -> None:
    chance = random.Random(3)
    for _number in range(60):
        left, right = (
            "1" + "".join(chance.choice("019.~+a-") for _ in range(chance.randint(0, 7))) + "0" for _ in "ab"
        )
        order = compare(left, right)
        word = "lt" if order < 0 else "gt" if order else "eq"
        assert subprocess.run(["dpkg", "--compare-versions", left, word, right]).returncode == 0, (left, word, right)


@pytest.mark.parametrize(
    ("version", "relation", "wanted", "expected"),
    [
        ("535.54.03-0ubuntu1", "<=", "535.54.03-1", True),
        ("535.54.03-0ubuntu1", ">=", "535.54.03", True),
        ("535.54.03-0ubuntu1", "=", "535.54.03", False),
        ("535", ">>", "535", False),
        ("535", "<<", "536", True),
        ("535", "", "", True),
    ],
)
def test_relations(version: str, relation: str, wanted: str, expected: bool) -> None:
    assert satisfies(version, relation, wanted) is expected


def test_relations_of_all_forms() -> None:
    text = "a, b:any (>= 1~) | c:amd64 (<< 2-1), d(=3) , e | f"
    assert debian_apt.parse_relations(text) == (
        (("a", "", ""),),
        (("b", ">=", "1~"), ("c", "<<", "2-1")),
        (("d", "=", "3"),),
        (("e", "", ""), ("f", "", "")),
    )


class Apt:
    """A table in place of the commands."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.asked.append(argv)
        return Result(tuple(argv), 0, self.answers[argv[1].lstrip("-").replace("-", "_")], "")


def debian(fixtures: Path, suite: str) -> Apt:
    return Apt(
        print_architecture="amd64\n",
        show=(fixtures / f"apt/{suite}-show.txt").read_text(),
        policy=(fixtures / f"apt/{suite}-policy.txt").read_text(),
    )


def test_catalogue_of_a_capture_in_three_commands(fixtures: Path) -> None:
    run = debian(fixtures, "bookworm")
    offer = debian_apt.catalogue(run, names.apt_pattern("6.1.0-50-amd64"))
    assert [argv[:2] for argv in run.asked] == [
        ["dpkg", "--print-architecture"],
        ["apt-cache", "show"],
        ["apt-cache", "policy"],
    ]
    assert r"linux-headers-(6\.1\.0-50-amd64)$" in run.asked[1][2]
    (driver,) = offer.versions("nvidia-driver")
    assert driver.version == "535.261.03-1"
    assert driver.origins == ("http://mirror.example/debian bookworm/non-free amd64 Packages",)
    assert (("nvidia-legacy-check", ">=", "495"),) in driver.depends
    assert ("nvidia-driver-any", "", "") in driver.provides
    assert [entry.name for entry in offer.providers("nvidia-kernel-support--v1")] == ["nvidia-kernel-support"]


def test_policy_with_pins_several_versions_and_architectures() -> None:
    text = """nvidia-utils-535-server:
  Installed: 535.54.03-0ubuntu0.20.04.1
  Candidate: 535.183.01-0ubuntu0.20.04.1
  Version table:
     535.183.01-0ubuntu0.20.04.1 1001 (phased 10%)
       1001 http://mirror.example/ubuntu focal-updates/restricted amd64 Packages
        500 http://mirror.example/ubuntu focal-security/restricted amd64 Packages
 *** 535.54.03-0ubuntu0.20.04.1 100
        100 /var/lib/dpkg/status
nvidia-utils-535-server:i386:
  Installed: (none)
  Candidate: 1
  Version table:
     1 500
        500 http://mirror.example/ubuntu focal/restricted i386 Packages
nvidia-away:
  Installed: (none)
  Candidate: (none)
  Version table:
     2 -1
         -1 http://mirror.example/ubuntu focal/restricted amd64 Packages
"""
    policy = debian_apt.parse_policy(text, "amd64")
    assert policy.candidates == {"nvidia-utils-535-server": "535.183.01-0ubuntu0.20.04.1", "nvidia-away": ""}
    assert policy.origins == {
        ("nvidia-utils-535-server", "535.183.01-0ubuntu0.20.04.1"): (
            "http://mirror.example/ubuntu focal-updates/restricted amd64 Packages",
            "http://mirror.example/ubuntu focal-security/restricted amd64 Packages",
        ),
        ("nvidia-utils-535-server", "535.54.03-0ubuntu0.20.04.1"): ("/var/lib/dpkg/status",),
        ("nvidia-away", "2"): ("http://mirror.example/ubuntu focal/restricted amd64 Packages",),
    }


def test_candidate_comes_first_then_new_to_old() -> None:
    entries = [debian_apt.Available("a", version) for version in ("1", "3", "2")]
    assert [e.version for e in debian_apt.make_catalogue(entries, {"a": "2"}).versions("a")] == ["2", "3", "1"]
    assert [e.version for e in debian_apt.make_catalogue(entries).versions("a")] == ["3", "2", "1"]
    assert debian_apt.make_catalogue([]).versions("a") == ()


@pytest.mark.parametrize("text", ["", "\n\n", "Package: cut", "nonsense\n\nPackage: a\n", "\0" * 100])
def test_nothing_comes_of_empty_and_cut_metadata(text: str) -> None:
    assert debian_apt.parse_show(text) == []
    assert debian_apt.parse_policy(text, "amd64").candidates == {}


def test_a_broken_apt_is_an_error() -> None:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        return Result(tuple(argv), 1, "", "E: The package cache file is corrupted")

    with pytest.raises(GpuError, match="cache file is corrupted"):
        debian_apt.catalogue(run, names.apt_pattern("6.1.0-50-amd64"))


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_a_folder_of_real_deb_files(tmp_path: Path) -> None:
    for name, depends in (
        ("nvidia-driver-535-server", "nvidia-utils-535-server (= 535.1.2-1)"),
        ("nvidia-utils-535-server", "libc6"),
    ):
        control = tmp_path / name / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        fields = f"Package: {name}\nVersion: 535.1.2-1\nArchitecture: amd64\nDepends: {depends}\n"
        control.write_text(f"{fields}Maintainer: a <a@b.c>\nDescription: x\n")
        subprocess.run(["dpkg-deb", "-b", str(tmp_path / name), str(tmp_path)], check=True, capture_output=True)

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        done = subprocess.run(argv, capture_output=True, text=True)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    offer = debian_apt.local_catalogue(run, str(tmp_path))
    (driver,) = offer.versions("nvidia-driver-535-server")
    assert driver.path == str(tmp_path / "nvidia-driver-535-server_535.1.2-1_amd64.deb")
    assert driver.depends == ((("nvidia-utils-535-server", "=", "535.1.2-1"),),)
    with pytest.raises(GpuError, match=r"folder of \.deb files"):
        debian_apt.local_catalogue(run, str(tmp_path / "nvidia-utils-535-server"))


def test_simulation_of_a_capture(fixtures: Path) -> None:
    text = (fixtures / "apt/bookworm-simulate.txt").read_text()
    found = debian_apt.parse_simulation(text, (fixtures / "apt/bookworm-print-uris.txt").read_text())
    assert [move.name for move in found.install] == [
        "glx-alternative-mesa",
        "glx-alternative-nvidia",
        "libnvidia-ml1",
        "nvidia-alternative",
        "nvidia-installer-cleanup",
        "nvidia-legacy-check",
        "nvidia-smi",
    ]
    assert found.install[-1] == debian_apt.Move("nvidia-smi", None, "535.261.03-1")
    assert (found.upgrade, found.downgrade, found.remove, found.held_changed) == ((), (), (), ())
    assert found.download_bytes == 1_416_736


def test_simulation_of_an_upgrade(fixtures: Path) -> None:
    found = debian_apt.parse_simulation((fixtures / "apt/derived-simulate-upgrade.txt").read_text())
    assert found.install == (debian_apt.Move("nvidia-dkms-535-server", None, "535.183.01-0ubuntu0.20.04.1"),)
    assert [(m.name, m.before) for m in found.upgrade] == [("nvidia-utils-535-server", "535.54.03-0ubuntu0.20.04.1")]
    assert [m.name for m in found.downgrade] == ["libnvidia-compute-535-server"]
    assert found.remove == (debian_apt.Move("nvidia-dkms-525-server", "525.147.05-0ubuntu0.20.04.1", None),)
    assert found.held_changed == ("libnvidia-compute-535-server", "nvidia-firmware", "nvidia-utils-535-server")
    assert found.to_dict()["remove"][0]["after"] is None


def test_a_transaction_is_only_simulated(fixtures: Path) -> None:
    run = Apt(s=(fixtures / "apt/bookworm-simulate.txt").read_text(), print_uris="")
    assert len(debian_apt.transaction(run, ["nvidia-smi=535.261.03-1"]).install) == 7
    assert all(argv[1] in ("-s", "--print-uris") for argv in run.asked)
    assert all({"--allow-change-held-packages", "--allow-downgrades"} < set(argv) for argv in run.asked)
    assert debian_apt.transaction(run, []) == debian_apt.Transaction()


def test_what_apt_cannot_do_is_said_in_its_words() -> None:
    stdout = """The following packages have unmet dependencies:
 nvidia-driver-525-server : Depends: libnvidia-gl-525-server (= 525.1-1) but 525.2-1 is to be installed
                            Depends: nvidia-utils-525-server (= 525.1-1) but 525.2-1 is to be installed
"""

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        return Result(tuple(argv), 100, stdout, "E: Unable to correct problems, you have held broken packages.\n")

    with pytest.raises(GpuError, match=r"libnvidia-gl.*nvidia-utils.*held broken packages"):
        debian_apt.transaction(run, ["nvidia-driver-525-server=525.1-1"])
