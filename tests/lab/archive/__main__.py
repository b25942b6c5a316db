"""``python -m tests.lab.archive FOLDER``: write the archives of a lab host below FOLDER, to look at or to serve."""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

from tests.lab.archive import host
from tests.lab.log import say


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.archive", description="Write the lab's archives.")
    parser.add_argument("folder", type=Path, help="where; it gets the folder srv as a lab host has it")
    parser.add_argument("--kernel", default=platform.release(), help="the release in the place of the running kernel's")
    arguments = parser.parse_args()
    started = time.monotonic()
    host.write(arguments.folder, arguments.kernel)
    say(f"archives below {arguments.folder} after {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
