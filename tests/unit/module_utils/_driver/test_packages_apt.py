"""The plan in the hands of this machine's apt, with a repository and a dpkg database of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from driver_catalogue import DRIVER, V525, V525_NEW, ask, entry, ubuntu

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import plan
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError


def stanza(e: Available, *more: str) -> str:
    relations = (" | ".join(f"{n} ({o} {v})" if o else n for n, o, v in group) for group in e.depends)
    depends = ", ".join(r for r in relations if r == "dkms" or "nvidia" in r)
    lines = [f"Package: {e.name}", *more, f"Version: {e.version}", "Architecture: amd64", "Maintainer: a <a@b.c>"]
    lines += [f"Depends: {depends}"] if depends else []
    return "\n".join(
        [*lines, f"Filename: {e.name}_{e.version}.deb", "Size: 1000", "MD5sum: " + "0" * 32, "Description: x\n"]
    )


@pytest.mark.needs("apt-get")
def test_a_downgrade_of_a_held_family_is_one_transaction_of_the_real_apt(tmp_path: Path) -> None:
    for folder in ("repository", "lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    new = ubuntu("525", "-server", V525_NEW)
    everything = [*ubuntu("525", "-server", V525), *new, entry("dkms", "3")]
    (tmp_path / "repository/Packages").write_text("\n".join(stanza(e) for e in everything))
    there = [entry("dkms", "3"), *(e for e in new if "-open" not in e.name and "headless" not in e.name)]
    (tmp_path / "status").write_text("\n".join(stanza(e, "Status: hold ok installed") for e in there))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::Lists "{tmp_path}/lists"; Dir::State::status "{tmp_path}/status"; Dir::Cache "{tmp_path}/cache";'
        f' Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-"; APT::Sandbox::User "root";'
        f' Dir::Etc::preferences "-"; Dir::Etc::preferencesparts "-"; APT::Architecture "amd64";'
    )
    environment = {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf"), "LC_ALL": "C"}

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    assert run(["apt-get", "-qq", "update"]).ok
    planned = plan(
        ask("525", version="525.125.06", headers="ignore"), debian_apt.catalogue(run, apt_pattern("5.4.0-1-none"))
    )
    with pytest.raises(GpuError, match="libnvidia-compute-525-server"):
        debian_apt.transaction(run, planned.packages[:1])  # the metapackage alone is not enough
    found = debian_apt.transaction(run, planned.packages)
    stems = (*DRIVER, "nvidia-dkms", "nvidia-driver", "nvidia-kernel-common")
    assert [move.name for move in found.downgrade] == sorted(f"{stem}-525-server" for stem in stems)
    assert set(found.held_changed) == {move.name for move in found.downgrade}
    assert (found.upgrade, found.remove) == ((), ())
