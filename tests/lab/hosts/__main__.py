"""``python -m tests.lab.hosts up|down|status --name NAME --spec FILE``"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.lab.hosts import lab as hosts
from tests.lab.hosts import spec
from tests.lab.hosts.machine import CommandError
from tests.lab.state import Lab


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.hosts", description="The lab's hosts.")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--name", required=True, help="the lab; labs of different names run side by side")
    parser.add_argument("--spec", type=Path, help="what hosts there are (up needs it)")
    arguments = parser.parse_args()
    try:
        return command(arguments.command, Lab(arguments.name), arguments.spec)
    except (spec.SpecError, CommandError, ValueError, OSError) as error:
        print(f"lab {arguments.name}: {error}", file=sys.stderr)
        return 1


def command(name: str, lab: Lab, spec_file: Path | None) -> int:
    started = time.monotonic()
    if name == "up":
        if not spec_file:
            raise spec.SpecError("up needs --spec FILE, e.g. tests/lab/specs/demo.yml")
        for host, address in hosts.up(lab, spec.read(spec_file)).items():
            print(f"lab {lab.name}: {host} at {address}")
        print(f"lab {lab.name}: up after {time.monotonic() - started:.1f} s, inventory {lab.inventory}")
    elif name == "down":
        hosts.down(lab)
        print(f"lab {lab.name}: hosts down after {time.monotonic() - started:.1f} s")
    else:
        rows = hosts.status(lab)
        for row in rows:
            print("\t".join(row))
        return 0 if rows else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
