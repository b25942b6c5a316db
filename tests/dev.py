"""What ``./dev`` can do: one small function a command. Started by ``./dev``, which sets up the environment."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _exec(*argv: str) -> None:
    """Become ``argv``, run from the collection's root as Ansible sees it."""
    os.chdir(Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/t9k/gpu")
    os.execvp(argv[0], argv)


def test(rest: list[str]) -> None:
    """every check: unit tests, lint, sanity, molecule scenarios"""
    _exec(sys.executable, "-m", "pytest", "tests/unit", "tests/checks", *rest)


def unit(rest: list[str]) -> None:
    """the unit tests, or those of the paths given"""
    paths = [] if any(not word.startswith("-") for word in rest) else ["tests/unit"]
    _exec(sys.executable, "-m", "pytest", *paths, *rest)


def lint(rest: list[str]) -> None:
    """ruff, mypy, yamllint, ansible-lint, the changelog, the build"""
    _exec(sys.executable, "-m", "pytest", "tests/checks/test_lint.py", *rest)


def run(rest: list[str]) -> None:
    """any command in the environment of the checks, e.g. ./dev run ansible-playbook …"""
    _exec(*rest)


COMMANDS = {function.__name__: function for function in (test, unit, lint, run)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="./dev",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {n:9} {f.__doc__}" for n, f in COMMANDS.items()),
    )
    parser.add_argument("command", choices=[*COMMANDS, "help"], metavar="COMMAND")
    arguments = parser.parse_args(sys.argv[1:2])
    if arguments.command == "help":
        parser.print_help()
        return
    COMMANDS[arguments.command](sys.argv[2:])


if __name__ == "__main__":
    main()
