"""The module with a skopeo that answers from a table of registries: copy, again, check, refuse."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.modules.image_copy import bring

SOURCE, TARGET = "nvcr.io/nvidia/driver:1", "mirror.example/nvidia/driver:1"
INDEX = '{"manifests": [{"platform": {"architecture": "arm64"}}, {}]}'
DIGEST = "sha256:" + hashlib.sha256(INDEX.encode()).hexdigest()


class Skopeo:
    """Image → manifest. ``breaks``: what a copy says instead of working; ``makes``: what arrives (the source's manifest)."""

    def __init__(self, target: str = "", breaks: str = "", makes: str = INDEX, missing: bool = False) -> None:
        self.images = {SOURCE: INDEX, **({TARGET: target} if target else {})}
        self.breaks, self.makes, self.missing = breaks, makes, missing
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.calls.append(argv)
        assert argv[0] == "skopeo" and timeout_s
        if self.missing:
            return Result(tuple(argv), NOT_FOUND, "", "skopeo: not found")
        names = [word[len("docker://") :] for word in argv if word.startswith("docker://")]
        if argv[1] == "inspect":
            assert "--raw" in argv  # else it answers for one platform
            found = self.images.get(names[0])
            return Result(tuple(argv), 0, found, "") if found else Result(tuple(argv), 1, "", "manifest unknown")
        assert {"--all", "--preserve-digests"} <= set(argv)
        if self.breaks:
            return Result(tuple(argv), 1, "", f"time=x level=info\n{self.breaks}\n")
        self.images[names[1]] = self.makes
        return Result(tuple(argv), 0, "", "")

    @property
    def copies(self) -> int:
        return [argv[1] for argv in self.calls].count("copy")


CASES: list[tuple[str, Skopeo, bool, int]] = [
    ("not there", Skopeo(), True, 1),
    ("another one", Skopeo("{}"), True, 1),
    ("there", Skopeo(INDEX), False, 0),
]


@pytest.mark.parametrize(("skopeo", "changed", "copies"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_check_then_copy_then_again(skopeo: Skopeo, changed: bool, copies: int) -> None:
    before = dict(skopeo.images)
    looked: dict[str, Any] = bring(skopeo, SOURCE, TARGET, check=True)
    assert (looked["changed"], skopeo.images, skopeo.copies) == (changed, before, 0)
    assert (looked["diff"]["before"] != looked["diff"]["after"]) is changed
    done = bring(skopeo, SOURCE, TARGET, check=False)
    assert (done["changed"], done["digest"], skopeo.copies) == (changed, DIGEST, copies)
    again = bring(skopeo, SOURCE, TARGET, check=False)
    assert (again["changed"], again["digest"], skopeo.copies) == (False, DIGEST, copies)


FAULTS: list[tuple[Skopeo, str]] = [
    (Skopeo(missing=True), "apt-get install skopeo"),
    (
        Skopeo(breaks="unauthorized: authentication required"),
        "Found: unauthorized: authentication required (skopeo copy",
    ),
    (Skopeo(makes='{"one": "platform"}'), "what changes images on their way"),
]


@pytest.mark.parametrize(("skopeo", "words"), FAULTS)
def test_what_goes_wrong_is_told(skopeo: Skopeo, words: str) -> None:
    with pytest.raises(GpuError) as error:
        bring(skopeo, SOURCE, TARGET, check=False)
    assert words in str(error.value)
