"""``ansible-test sanity``, on a copy of what a user gets: the lab, the scenarios and the tests are not in the collection's archive.

ansible-test makes its own virtual environments and fetches the installer of pip for them. ``ensurepip`` has the same pip on the
machine already, so a file that runs it takes the fetched one's place, in a home folder of this test's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ansible_test
import pytest

ROOT = Path(__file__).resolve().parents[2]
GET_PIP = '"""Stand-in for the downloaded installer of pip."""\nimport ensurepip\n\nensurepip.bootstrap(upgrade=True)\n'


def place_get_pip(home: Path) -> None:
    """Where this very ansible-test looks for it; the name holds the version of pip it wants."""
    setup = Path(ansible_test.__path__[0]) / "_internal/python_requirements.py"
    for version in set(re.findall(r"'(\d+\.\d+(?:\.\d+)?)'", setup.read_text())):
        cached = home / f".ansible/test/cache/get_pip_{version.replace('.', '_')}.py"
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(GET_PIP)


def copy_of_the_clone(target: Path) -> Path:
    """The files git tracks or would track, less what is not shipped, where ansible-test wants a collection to be."""
    collection = target / "ansible_collections/t9k/gpu"
    collection.mkdir(parents=True)
    command = [
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        ".",
        ":!tests/[!s]*",
        ":!tests/slow",
        ":!molecule",
    ]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    there = b"\0".join(name for name in names if name and (ROOT / os.fsdecode(name)).exists())
    archive = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"], cwd=ROOT, input=there, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "--extract"], cwd=collection, input=archive, check=True)
    subprocess.run(["git", "init", "--quiet"], cwd=collection, check=True)
    subprocess.run(["git", "add", "--all"], cwd=collection, check=True)
    return collection


def test_sanity(tmp_path: Path) -> None:
    collection = copy_of_the_clone(tmp_path)
    home = Path(os.environ["T9K_GPU_CACHE"]) / "sanity-home"
    place_get_pip(home)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--venv", "--python", python, "--color", "no"]
    environment = {**os.environ, "HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=collection, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
