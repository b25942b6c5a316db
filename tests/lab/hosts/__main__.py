"""``python -m tests.lab.hosts up|down|status --name NAME --spec FILE``, ``… ssh|cut|on --name NAME --host HOST [COMMAND]``"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.lab import spec
from tests.lab.hosts import lifecycle, power, ssh
from tests.lab.log import LabError, say
from tests.lab.state import Lab


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.hosts", description="The lab's hosts.")
    parser.add_argument("command", choices=("up", "down", "status", "ssh", "cut", "on"))
    parser.add_argument("--name", required=True, help="the lab; labs of different names run side by side")
    parser.add_argument("--spec", type=Path, help="what hosts there are (up needs it)")
    parser.add_argument("--host", help="which host to enter (ssh), to take the power of (cut) and to give it back (on)")
    parser.add_argument("words", nargs="*", help="what to run there (ssh)")
    arguments = parser.parse_args()
    try:
        if arguments.command in ("ssh", "cut", "on"):
            return on_host(arguments.command, Lab(arguments.name), arguments.host or "", arguments.words)
        return command(arguments.command, Lab(arguments.name), arguments.spec)
    except (LabError, OSError) as error:
        say(f"{arguments.name}: {error}")
        return 1


def on_host(name: str, lab: Lab, host: str, words: list[str]) -> int:
    argv = ssh.command(lab, host)  # an error that lists the hosts where it is none of them
    if name == "ssh":
        os.execvp(argv[0], [*argv, *words])
    {"cut": power.cut, "on": power.on}[name](lab, host)
    return 0


def command(name: str, lab: Lab, spec_file: Path | None) -> int:
    started = time.monotonic()
    if name == "up":
        if not spec_file:
            raise LabError("up needs --spec FILE, e.g. tests/lab/specs/demo.yml")
        for host, address in lifecycle.up(lab, spec.read(spec_file).hosts).items():
            say(f"{lab.name}: {host} at {address}")
        say(f"{lab.name}: hosts up after {time.monotonic() - started:.1f} s, inventory {lab.inventory}")
    elif name == "down":
        lifecycle.down(lab)
        say(f"{lab.name}: hosts down after {time.monotonic() - started:.1f} s")
    else:
        rows = lifecycle.status(lab)
        for row in rows:
            print("\t".join(row))
        return 0 if rows else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
