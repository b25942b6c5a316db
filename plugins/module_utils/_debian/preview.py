# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Show apt the world as it will be once a source is added and its lists are fresh, without touching the node's own apt.

A plan must name the packages it will install, also in check mode and also where the source is not configured yet.
So the metadata goes to a private folder that is gone afterwards.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import entries, has_login, shown
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

UPDATE_TIMEOUT_S = 600
_FETCH = "/usr/lib/apt/apt-helper"
_ARMOUR = "-----BEGIN PGP"
#: What the distribution runs around an update (stamps, caches of other tools) would touch the node.
_HOOKS = tuple(f"APT::Update::{when}-Invoke{what}" for when in ("Pre", "Post") for what in ("", "-Success", "-Stats"))


@contextlib.contextmanager
def preview(run: Run, extra: Mapping[str, Entry], own_files: Iterable[str]) -> Iterator[Run]:
    """Give a ``Run`` whose apt commands see ``extra`` (by the file it stands in) and nothing else of ``own_files``, with lists
    fetched just now."""
    with tempfile.TemporaryDirectory(prefix="t9k-gpu-apt-", dir="/var/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)  # apt fetches as the user _apt
        keyed = {
            Path(file).name: replace(entry, signed_by=_key(run, place, entry.signed_by))
            for file, entry in extra.items()
        }
        _lay_out(place, keyed, tuple(Path(file).name for file in own_files))
        configuration = str(place / "apt.conf")

        def run_with_configuration(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
            if argv[0].startswith("apt-"):
                argv = [argv[0], f"--config-file={configuration}", *argv[1:]]
            return run(argv, timeout_s=timeout_s, stdin=stdin)

        _update(run_with_configuration)
        yield run_with_configuration


def _lay_out(place: Path, extra: Mapping[str, Entry], own_names: tuple[str, ...]) -> None:
    _copy("/etc/apt/sources.list.d", place / "parts", leave_out=own_names)
    _copy("/var/lib/apt/lists", place / "lists", leave_out=("lock", "partial"))
    (place / "lists/partial").mkdir()
    (place / "cache/archives/partial").mkdir(parents=True)
    for name, entry in extra.items():
        (place / "parts" / name).write_text(stanza(entry.plain()), encoding="utf-8")
    _copy("/etc/apt/auth.conf.d", place / "auth", leave_out=own_names)
    (place / "auth").chmod(0o700)  # apt reads it before it becomes the user _apt
    logins = entries(uri for entry in extra.values() for uri in entry.uris)
    (place / "auth/t9k-gpu-driver.conf").write_text(logins, encoding="utf-8")
    (place / "apt.conf").write_text(
        f'Dir::Etc::SourceParts "{place}/parts";\nDir::Etc::netrcparts "{place}/auth";\n'
        f'Dir::State::Lists "{place}/lists";\nDir::Cache "{place}/cache";\n'
        + "".join(f"#clear {hook};\n" for hook in _HOOKS),
        encoding="utf-8",
    )


def _key(run: Run, place: Path, key: str | None) -> str | None:
    """Return a path apt can read: a key given by address is fetched by apt's own means, one given as text is written down."""
    if not key or key.startswith("/"):
        return key
    if has_login(key):
        found = "one with a name and a password, which would be an argument of the program that fetches it"
        raise GpuError("a key by a plain address", found, shown(key), "put the key on the nodes, and give its path")
    file = place / "key"
    if key.lstrip().startswith(_ARMOUR):
        lines = ["" if line.strip() == "." else line.strip() for line in key.strip().splitlines()]
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    else:
        done = run([_FETCH, "download-file", key, str(file)], timeout_s=120)
        if not done.ok:
            raise GpuError(
                "the key of the source",
                shown(done.stderr.strip()[-300:]),
                shown(key),
                "check the address, or give a path on the node",
            )
    named = place / ("key.asc" if file.read_bytes().lstrip().startswith(_ARMOUR.encode()) else "key.gpg")
    file.rename(named)
    named.chmod(0o644)
    return str(named)


def _copy(folder: str, place: Path, leave_out: tuple[str, ...]) -> None:
    """Copy the node's files, but for the collection's own, which the plan may be about to change."""
    place.mkdir()
    if Path(folder).is_dir():
        ignore = shutil.ignore_patterns(*leave_out)
        shutil.copytree(folder, place, ignore=ignore, ignore_dangling_symlinks=True, dirs_exist_ok=True)


def stanza(entry: Entry) -> str:
    """Write an entry as apt's deb822 files have it; a word with white space in it would be two, or a field of its own."""
    words = (*entry.uris, *entry.suites, *entry.components, *filter(None, [entry.signed_by]))
    broken = [word for word in words if not word.isprintable() or word.split() != [word]]
    if broken:
        raise GpuError(
            "addresses, suites and components without white space",
            shown(", ".join(map(repr, broken))),
            "driver_source",
            "give each as an item of its list",
        )
    key = f"Signed-By: {entry.signed_by}\n" if entry.signed_by else ""
    return (
        f"Types: deb\nURIs: {' '.join(entry.uris)}\nSuites: {' '.join(entry.suites)}\n"
        f"Components: {' '.join(entry.components)}\n{key}"
    )


def _update(run: Run) -> None:
    done = run(["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"], timeout_s=UPDATE_TIMEOUT_S)
    if not done.ok:
        complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        raise GpuError(
            "fresh package lists",
            shown(" ".join(complaints[:3])) or f"apt-get update ended with {done.rc}",
            "apt-get update",
            "mend the sources in /etc/apt or the way to them (proxy, mirror), then run again",
        )
