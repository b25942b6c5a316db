"""``./dev bench [NAME …]``: measure, and write the sections of docs/benchmarks.md anew; without a name all of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tests.benchmark import drain, first_installation, no_change, node_labels, page, rollout, seconds_away

PAIRS = 5


def main() -> None:
    benchmarks: dict[str, tuple[str, Callable[[argparse.Namespace], str]]] = {
        "first-installation": (first_installation.TITLE, lambda _given: first_installation.measure(3)),
        "seconds-away": (seconds_away.TITLE, lambda _given: seconds_away.measure(3)),
        "drain": (drain.TITLE, lambda _given: drain.measure(5)),
        "no-change": (no_change.TITLE, lambda _given: no_change.measure(PAIRS)),
        "node-labels": (node_labels.TITLE, lambda _given: node_labels.measure()),
        "rollout": (rollout.TITLE, lambda given: rollout.measure(given.hosts, given.budget)),
    }
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*benchmarks, []], help=f"of {', '.join(benchmarks)}")
    parser.add_argument("--hosts", type=int, default=30, help="of a rollout (%(default)s)")
    parser.add_argument("--budget", type=int, default=3, help="how many of them may be away at a time (%(default)s)")
    given = parser.parse_args()
    for name in given.names or benchmarks:
        title, measure = benchmarks[name]
        body = f"```\n./dev bench {name}\n```\n\n{measure(given)}"
        page.PAGE.write_text(page.replace(page.PAGE.read_text(), title, body))
        print(f"{page.PAGE}: {title}\n{body}")


if __name__ == "__main__":
    main()
