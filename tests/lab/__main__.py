"""``python -m tests.lab fault``: switch a fault of a lab on or off. Hosts and cluster have commands of their own."""

from __future__ import annotations

import argparse
import sys

from tests.lab.faults import switch, table
from tests.lab.log import LabError, say
from tests.lab.state import Lab


def main() -> int:
    listing = "\n".join(["of a host:", *table.rows(table.HOST), "", "of the cluster:", *table.rows(table.CLUSTER)])
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    fault = parser.add_subparsers(dest="command", required=True).add_parser(
        "fault", help="switch faults on and off", epilog=listing, formatter_class=form
    )
    fault.add_argument("--name", default="demo", help="the lab's name")
    fault.add_argument("--off", action="store_true", help="switch the fault off, without one all of them")
    fault.add_argument("where", metavar="HOST", help="a host of the lab, or the word cluster")
    fault.add_argument("fault", nargs="?", help="its name; without one the faults that are on are shown")
    fault.add_argument("value", nargs="*", help="what the fault is told")
    arguments = parser.parse_args()
    try:
        _fault(Lab(arguments.name), arguments)
    except (LabError, OSError) as error:
        say(f"{arguments.name}: {error}")
        return 1
    return 0


def _fault(lab: Lab, arguments: argparse.Namespace) -> None:
    if arguments.off:
        switch.off(lab, arguments.where, arguments.fault)
    elif arguments.fault:
        switch.on(lab, arguments.where, arguments.fault, " ".join(arguments.value))
    for name, value in switch.shown(lab, arguments.where).items():
        print(f"{name}\t{value}")


if __name__ == "__main__":
    sys.exit(main())
