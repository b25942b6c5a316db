"""What ``./dev`` can do: one small function a command. Started by ``./dev``, which sets up the environment."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/t9k/gpu"
FOLDER = Path(os.environ["T9K_GPU_CACHE"]) / "labs/demo"
CHART_VERSION = "v26.7.0"
LAB = ["--name", "demo", "--spec", "tests/lab/specs/demo.yml"]


def _exec(*argv: str, **environment: str) -> None:
    """Become ``argv``, run from the collection's root as Ansible sees it."""
    os.execvpe(argv[0], argv, {**os.environ, **environment})


def _module(name: str, *words: str) -> None:
    """Run a module of ours; where it failed it has said why, so nothing is added to that."""
    done = subprocess.run([sys.executable, "-m", name, *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _cluster_environment() -> dict[str, str]:
    """KUBECONFIG and PATH of the demo's cluster, as its own command prints them for a shell."""
    command = [sys.executable, "-m", "tests.lab.cluster", "env", "--name", "demo"]
    printed = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if printed.returncode:
        sys.exit(printed.returncode)
    pairs = (word.partition("=") for word in shlex.split(printed.stdout) if "=" in word)
    cluster = {name: os.path.expandvars(value) for name, _equals, value in pairs}
    return {**cluster, "T9K_GPU_LAB_CHART": str(FOLDER / f"gpu-operator-{CHART_VERSION}.tgz")}


def demo(rest: list[str]) -> None:
    """the main job on the embedded lab: bring it up, run playbooks/site.yml; further words go to ansible-playbook"""
    _module("tests.lab.hosts", "up", *LAB)
    _module("tests.lab.cluster", "up", *LAB)
    _module("tests.lab.cluster", "chart", "--version", CHART_VERSION, "--out", str(FOLDER))
    play(rest)


def play(rest: list[str]) -> None:
    """playbooks/site.yml, or the playbook given first, on the lab as it is"""
    playbook = rest.pop(0) if rest and rest[0].endswith(".yml") else "playbooks/site.yml"
    inventories = ["-i", str(FOLDER / "inventory.yml"), "-i", "tests/lab/inventory/demo.yml"]
    rest += ["-e", "driver_serial=100%"]
    _exec("ansible-playbook", playbook, *inventories, *rest, **_cluster_environment())


def down(_rest: list[str]) -> None:
    """take the demo's lab away"""
    _module("tests.lab.cluster", "down", "--name", "demo")
    _module("tests.lab.hosts", "down", "--name", "demo")
    shutil.rmtree(FOLDER, ignore_errors=True)  # the chart that demo packaged


def vm(rest: list[str]) -> None:
    """a virtual machine with Debian's kernels: up, ssh [COMMAND], cut (its power), on, down"""
    command, *words = rest or ["up"]
    if command in ("ssh", "cut", "on"):
        line = [" ".join(words)] if words else []
        _exec(sys.executable, "-m", "tests.lab.hosts", command, *line, "--name", "vm", "--host", "vm-01")
    _exec(sys.executable, "-m", "tests.lab.hosts", command, "--name", "vm", "--spec", "tests/lab/specs/vm.yml")


def fault(rest: list[str]) -> None:
    """switch a fault of the demo's lab on or off, e.g. ./dev fault gpu-a40 gpu-off-bus 2; --help lists them"""
    _exec(sys.executable, "-m", "tests.lab", "fault", *rest)


def _install_for_tests() -> None:
    """Install the programs that tests ask. Where there is no apt a test that lacks one says so and fails."""
    if shutil.which("apt-get"):
        _module("tests.lab.hosts.machine", "tests")


def test(rest: list[str]) -> None:
    """every check: unit tests, lint, sanity, molecule scenarios, some at a time; -n 1 runs them one after another"""
    _install_for_tests()
    side_by_side = ["-n", str(min((os.cpu_count() or 1) + 1, 4)), "--dist", "loadscope", "--no-loadscope-reorder"]
    _exec(sys.executable, "-m", "pytest", "tests/unit", "tests/checks", *side_by_side, "--durations=20", *rest)


def unit(rest: list[str]) -> None:
    """the unit tests, or those of the paths given"""
    _install_for_tests()
    _exec(sys.executable, "-m", "pytest", *_paths("tests/unit", rest), *rest)


def _paths(usual: str, rest: list[str]) -> list[str]:
    """Nothing where the words name a path to be tested ("-n 2" names none, nor does what is left out), else the usual one."""
    before = ["", *rest]
    named = any(
        Path(word.partition("::")[0]).exists() and option not in ("--ignore", "--deselect")
        for option, word in zip(before, rest)
    )
    return [] if named else [usual]


def lint(rest: list[str]) -> None:
    """ruff, mypy, yamllint, ansible-lint, the changelog, the build"""
    _exec(sys.executable, "-m", "pytest", "tests/checks/test_lint.py", *rest)


def molecule(rest: list[str]) -> None:
    """molecule's own commands, e.g. ./dev molecule test -s driver_debian"""
    _exec("molecule", *rest)


def slow(rest: list[str]) -> None:
    """what takes too long for every run (dkms, virtual machines, faults, ten thousand rollouts), or of it the paths given"""
    _exec(sys.executable, "-m", "pytest", *_paths("tests/slow", rest), *rest)


def mutants(rest: list[str]) -> None:
    """which changes of one utility no test notices, e.g. ./dev mutants plugins/module_utils/_driver/plan.py"""
    _install_for_tests()
    _exec(sys.executable, "-m", "tests.mutants", *rest)


def reference(rest: list[str]) -> None:
    """write docs/reference/ from the code, which a unit test holds it to"""
    _exec(sys.executable, "-m", "tests.reference", *rest)


def bench(rest: list[str]) -> None:
    """measure, and write docs/benchmarks.md anew; wants a quiet machine. Names of benchmarks choose some"""
    _exec(sys.executable, "-m", "tests.benchmark", *rest)


def run(rest: list[str]) -> None:
    """any command in the environment of the checks, e.g. ./dev run ansible-doc …"""
    _exec(*rest)


COMMANDS = {
    function.__name__: function
    for function in (demo, play, down, vm, fault, test, unit, lint, molecule, slow, mutants, bench, reference, run)
}


def main() -> None:
    listing = "\n".join(f"  {name:9} {function.__doc__}" for name, function in COMMANDS.items())
    parser = argparse.ArgumentParser(prog="./dev", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=listing)
    parser.add_argument("command", choices=[*COMMANDS, "help"], metavar="COMMAND")
    chosen = parser.parse_args(sys.argv[1:2]).command
    os.chdir(ROOT)
    if chosen == "help":
        parser.print_help()
    else:
        COMMANDS[chosen](sys.argv[2:])


if __name__ == "__main__":
    main()
