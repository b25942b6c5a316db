"""Count from the API server's watch events how many nodes are away at a time; the most goes to the file named first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FIELDS = '{.metadata.name} {.spec.unschedulable} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}'


def main() -> None:
    away: set[str] = set()
    most = 0
    argv = ["kubectl", "get", "nodes", "--watch", f"--output=jsonpath={FIELDS}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watch:
        for line in watch.stdout or ():
            name, *state = line.split()
            away = away | {name} if state != ["True"] else away - {name}  # schedulable and Ready is one word: True
            most = max(most, len(away))
            Path(sys.argv[1]).write_text(f"{most}\n")


if __name__ == "__main__":
    main()
