"""Where the driver comes from: flavours, branches that lead elsewhere, folders of files, keys of a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from node_builder import finished_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import preview as debian_preview
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Source, Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

NODE = finished_node("535.54.03")
WANTED = Wanted(branch="535", kernel_modules="proprietary")


@pytest.mark.parametrize(
    ("flavour", "kind", "os_id", "expected"),
    [
        ("server", "distribution", "ubuntu", True),
        ("desktop", "distribution", "ubuntu", False),
        ("desktop", "cuda", "ubuntu", True),  # these names do not tell
        ("desktop", "distribution", "debian", True),
    ],
)
def test_another_flavour_is_another_driver(flavour: str, kind: str, os_id: str, expected: bool) -> None:
    wanted = replace(WANTED, flavour=flavour, source=Source(kind))
    state = replace(NODE, system=replace(NODE.system, os_id=os_id))
    assert NODE.driver is not None
    assert driver_target.satisfied(NODE.driver, state, wanted, "535", "proprietary") is expected


def never(*_arguments: object, **_more: object) -> Result:
    raise AssertionError("no command is to be run here")


@pytest.mark.parametrize(("branch", "newer"), [("525", None), ("550", "550.10.01")])
def test_a_branch_that_leads_to_the_installed_one_brings_no_upgrade(
    monkeypatch: pytest.MonkeyPatch, branch: str, newer: str | None
) -> None:
    offered = package_plan(newer or "535.99.99")
    monkeypatch.setattr(driver_target, "_lists_are_fresh", lambda _state: True)
    monkeypatch.setattr(driver_target, "source_entries", lambda *_arguments: {})
    monkeypatch.setattr(driver_target, "_packages", lambda *_arguments: (offered, (), Transaction()))
    target = driver_target.resolve(never, NODE, replace(WANTED, branch=branch), {})
    assert (target.driver_version, target.packages) == ((newer, offered) if newer else ("535.54.03", None))


def test_a_folder_of_files_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An air-gapped node has old lists and sources that do not answer."""
    monkeypatch.setattr(driver_target, "_lists_are_fresh", lambda _state: False)
    monkeypatch.setattr(driver_target.debian_preview, "preview", never)
    monkeypatch.setattr(driver_target, "_packages", lambda *_arguments: (package_plan("550.10.01"), (), Transaction()))
    wanted = replace(WANTED, branch="550", source=Source("local", directory="/srv/debs"))
    assert driver_target.resolve(never, NODE, wanted, {}).driver_version == "550.10.01"


def download(content: bytes, rc: int = 0) -> Callable[..., Result]:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        if rc == 0:
            Path(argv[3]).write_bytes(content)
        return Result(tuple(argv), rc, "", "E: 404 Not Found" if rc else "")

    return run


ARMOURED = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.mark.parametrize(
    ("key", "content", "name"),
    [
        ("https://mirror.example/key.pub", ARMOURED.encode(), "key.asc"),
        ("https://mirror.example/key.gpg", b"\x99\x01binary", "key.gpg"),
        (ARMOURED, b"", "key.asc"),
        (ARMOURED.replace("\n\n", "\n.\n"), b"", "key.asc"),
    ],
)
def test_the_preview_gives_apt_a_key_it_can_read(tmp_path: Path, key: str, content: bytes, name: str) -> None:
    path = debian_preview._key(download(content), tmp_path, key)
    assert path == str(tmp_path / name)
    assert Path(path).read_bytes() == (content or ARMOURED.encode())


@pytest.mark.parametrize("key", [None, "/usr/share/keyrings/mine.gpg"])
def test_a_key_on_the_node_is_taken_as_it_is(tmp_path: Path, key: str | None) -> None:
    assert debian_preview._key(never, tmp_path, key) == key


def test_a_key_that_cannot_be_fetched_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(GpuError, match="404 Not Found"):
        debian_preview._key(download(b"", rc=100), tmp_path, "https://mirror.example/gone")
