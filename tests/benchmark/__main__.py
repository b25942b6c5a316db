"""``./dev bench [NAME …]``: measure, and write the sections of docs/benchmarks.md anew; without a name all of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tests.benchmark import drain, first_installation, no_change, node_labels, page, seconds_away

PAIRS = 5


def main() -> None:
    benchmarks: dict[str, tuple[str, Callable[[], str]]] = {
        "first-installation": (first_installation.TITLE, lambda: first_installation.measure(3)),
        "seconds-away": (seconds_away.TITLE, lambda: seconds_away.measure(3)),
        "drain": (drain.TITLE, lambda: drain.measure(5)),
        "no-change": (no_change.TITLE, lambda: no_change.measure(PAIRS)),
        "node-labels": (node_labels.TITLE, node_labels.measure),
    }
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*benchmarks, []], help=f"of {', '.join(benchmarks)}")
    for name in parser.parse_args().names or benchmarks:
        title, measure = benchmarks[name]
        body = f"```\n./dev bench {name}\n```\n\n{measure()}"
        page.PAGE.write_text(page.replace(page.PAGE.read_text(), title, body))
        print(f"{page.PAGE}: {title}\n{body}")


if __name__ == "__main__":
    main()
