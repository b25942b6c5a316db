"""``python -m tests.lab.cluster``: see ``--help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.lab.cluster import access, audit, chart, lifecycle, tools
from tests.lab.log import LabError, say
from tests.lab.spec import DEMO
from tests.lab.state import Lab


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "bring the cluster of a lab up; quick and harmless where it is up"),
        ("down", "end its processes and remove its state"),
        ("status", "what runs"),
        ("env", "print shell exports: KUBECONFIG and PATH"),
        ("requests", "count the API requests of everybody but the lab itself"),
        ("kubeconfig", "write a kubeconfig for a ServiceAccount"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--name", default="demo", help="the lab's name")
        command.add_argument("--spec", type=Path, default=DEMO, help="the lab's spec")
        if name == "up":
            command.add_argument("--extra-nodes", type=int, default=0, help="more nodes, without GPUs")
            command.add_argument("--extra-gpu-nodes", type=int, default=0, help="more nodes, with GPUs")
            command.add_argument("--extra-gpus", default="a100-gsp", help="the GPU profile of the latter")
        if name == "requests":
            command.add_argument("--since", type=int, default=0, help="a size that the audit log once had")
        if name == "kubeconfig":
            command.add_argument("--service-account", required=True, metavar="NAMESPACE/NAME")
    commands.add_parser("tools", help="fetch or build the programs, print their paths")
    chart = commands.add_parser("chart", help="package the lab's own GPU Operator chart")
    chart.add_argument("--version", default="v26.7.0", help="one of tests/lab/chart/generations")
    chart.add_argument("--out", type=Path, default=Path())
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "tools":
        print("\n".join(tools.describe(tools.provision())))
        return 0
    if arguments.command == "chart":
        print(chart.package(arguments.version, arguments.out))
        return 0
    lab = Lab(arguments.name)
    if arguments.command == "up":
        lifecycle.up(lab, arguments)
    elif arguments.command == "down":
        lifecycle.down(lab)
    elif arguments.command == "status":
        return 0 if lifecycle.status(lab) else 1
    elif arguments.command == "requests":
        for request, times in sorted(audit.since(lab, arguments.since).items()):
            print(f"{times:5}  {request.status}  {request.verb:7} {request.resource:40} {request.user}")
    elif arguments.command == "env":
        print(access.shell_exports(lab))
    else:
        print(access.service_account_kubeconfig(lab, arguments.service_account))
    return 0


def main() -> int:
    try:
        return _run(_parser().parse_args())
    except (LabError, OSError) as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
