"""Change the lines of one utility, one after the other, and see which changes no test notices.

``./dev mutants plugins/module_utils/_driver/plan.py`` runs mutmut on a copy of the clone, with the tests that import the
utility. mutmut knows a function by its module's dotted name, so the copy lies where Ansible imports a collection from; and it
names tests by their path, so they lie where it runs: elsewhere it finds none of them, and takes that for a change that was noticed.
The score is killed / (killed + survived); a mutant that no test runs counts as survived. Further words choose mutants by
name: ``./dev mutants PATH '*_hold*'`` tries those of one function again, after a test was written for it.
"""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

COLLECTION = Path("ansible_collections/t9k/gpu")
SETTINGS = """[mutmut]
source_paths={collection}/plugins
only_mutate={collection}/{util}
also_copy=
    {copied}
use_git_change_detection=false
pytest_add_cli_args=
    -q
    -x
pytest_add_cli_args_test_selection=
    {tests}
"""


def tests_of(root: Path, util: Path) -> list[Path]:
    """The test files of the utility's room, and all others that import it."""
    room, stem = util.parent.name, util.stem
    package = r"plugins\.module_utils" + (rf"\.{room}" if room != "module_utils" else "")
    imports = re.compile(rf"from ansible_collections\.t9k\.gpu\.{package}(\.{stem} import|\s+import [^\n]*\b{stem}\b)")
    tests = sorted((root / "tests/unit").rglob("test_*.py"))
    mirror = root / "tests/unit" / util.parent.relative_to("plugins")
    return [path for path in tests if path.parent == mirror or imports.search(path.read_text())]


def copy_of(root: Path, folder: Path, util: Path) -> None:
    """Lay the clone out twice: the tests where mutmut runs, since it names them by their path from there, and the collection."""
    place = folder / COLLECTION
    place.mkdir(parents=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    command = ["tar", "--create", "--null", "--files-from=-"]
    tar = subprocess.run(command, cwd=root, input=listed, check=True, capture_output=True).stdout
    for target in (folder, place):
        subprocess.run(["tar", "--extract"], cwd=target, input=tar, check=True)
    tests = [str(path.relative_to(root)) for path in tests_of(root, util)]
    if not tests:
        raise SystemExit(f"mutants: no test imports {util}")
    copied = sorted(path.name for path in folder.iterdir())
    settings = {"copied": "\n    ".join(copied), "tests": "\n    ".join(tests)}
    (folder / "setup.cfg").write_text(SETTINGS.format(collection=COLLECTION, util=util, **settings))


def outcome(lines: list[str]) -> tuple[collections.Counter[str], list[str]]:
    """How many mutants met which end, and the names of those that nobody noticed."""
    pairs = [line.strip().rsplit(": ", 1) for line in lines if "__mutmut_" in line]
    tried = [(name, end) for name, end in pairs if end != "not checked"]
    unnoticed = [name for name, end in tried if end in ("survived", "no tests", "suspicious")]
    return collections.Counter(end for _name, end in tried), unnoticed


def main(util: Path, names: list[str]) -> int:
    root = Path.cwd().resolve()
    with tempfile.TemporaryDirectory(prefix="t9k-gpu-mutants-") as name:
        folder = Path(name)
        copy_of(root, folder, util)
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder / "mutants")}

        def mutmut(*words: str) -> str:
            argv = [sys.executable, "-m", "mutmut", *words]
            done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(
                    f"mutants: mutmut {words[0]} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
                )
            return done.stdout

        mutmut("run", "--max-children", str(os.cpu_count() or 1), *names)
        ends, unnoticed = outcome(mutmut("results", "--all", "true").splitlines())
        for survivor in unnoticed:
            print(f"\n{mutmut('show', survivor).strip()}")
    total = sum(ends.values())
    print(
        f"\n{util}: {total - len(unnoticed)} of {total} noticed, {100 * (total - len(unnoticed)) / total:.1f} %  {dict(ends)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
