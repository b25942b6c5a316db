"""A failed task in the words of what failed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.failure_words import FilterModule, failure_words

DPKG = {
    "failed": True,
    "msg": "non-zero return code",
    "cmd": ["apt-get", "--yes", "install", "nvidia-driver-580=580.1"],
    "rc": 100,
    "stdout": "Unpacking nvidia-compute-utils-580 …",
    "stderr": "dpkg: error processing archive x.deb (--unpack):\n\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
}

LOOP = [{"msg": "fine"}, {**DPKG, "cmd": "a", "stderr": "no"}, {"failed": True, "msg": "b"}]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            DPKG,
            "apt-get --yes install nvidia-driver-580=580.1 exited 100: dpkg: error processing archive x.deb (--unpack):"
            " / E: Sub-process /usr/bin/dpkg returned an error code (1)",
        ),
        ({**DPKG, "cmd": "false", "rc": 1, "stderr": "", "stdout": "last word"}, "false exited 1: last word"),
        ({"cmd": "false", "rc": 1}, "false exited 1: it printed nothing"),
        ({"failed": True, "msg": "Wanted: a. Found: b."}, "Wanted: a. Found: b."),
        ({"cmd": "true", "rc": 0, "msg": "asserted otherwise"}, "asserted otherwise"),
        ({"unreachable": True, "msg": "Connection refused"}, "Connection refused"),
        ({"msg": "One or more items failed", "results": LOOP}, "a exited 100: no; b"),
        ({"msg": ""}, "see the failed task above"),
        (None, "see the failed task above"),
    ],
)  # fmt: skip
def test_words(result: Any, expected: str) -> None:
    assert failure_words(result) == expected


def test_only_the_last_words_are_told() -> None:
    told = failure_words({**DPKG, "stderr": "\n".join(str(number) for number in range(100))})
    assert told.endswith("exited 100: 94 / 95 / 96 / 97 / 98 / 99")


def test_the_filter_is_offered() -> None:
    assert FilterModule().filters() == {"failure_words": failure_words}
