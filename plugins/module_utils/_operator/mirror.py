# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring an image into another registry with skopeo, unless the very same is there already.

An image is its manifest: the digest is that of the manifest's bytes (opencontainers/image-spec, descriptor.md), an index of several
platforms included, so two registries that answer with the same bytes hold the same image.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

#: A registry that answers says what it has within seconds; images have many GiB.
_ASK_S, _COPY_S = 60, 7200
_COPY = ["skopeo", "copy", "--all", "--preserve-digests", "--retry-times", "3"]


@dataclass(frozen=True)
class Pair:
    """An image here and there, each by its digest; "" where a registry does not have it, or does not say."""

    source: str
    target: str
    wanted: str = ""
    found: str = ""

    @property
    def same(self) -> bool:
        return bool(self.wanted) and self.wanted == self.found


def look(run: Run, source: str, target: str) -> Pair:
    """Ask both registries. One that does not answer is the copy's matter, which says why."""
    found = _digest(run, target)
    return Pair(source, target, _digest(run, source) if found else "", found)


def _digest(run: Run, image: str) -> str:
    answer = run(["skopeo", "inspect", "--raw", f"docker://{image}"], timeout_s=_ASK_S)
    _require_skopeo(answer)
    return "sha256:" + hashlib.sha256(answer.stdout.encode()).hexdigest() if answer.ok else ""


def _require_skopeo(answer: Result) -> None:
    if answer.missing:
        step = "install it on the control host, e.g. apt-get install skopeo"
        raise GpuError("skopeo, to copy images", "no program skopeo in the PATH", "this machine", step)


def copy(run: Run, source: str, target: str) -> str:
    """Copy the image with all its platforms; return the digest that the target has now, which must be the source's."""
    argv = [*_COPY, f"docker://{source}", f"docker://{target}"]
    answer = run(argv, timeout_s=_COPY_S)
    if not answer.ok:
        said = answer.stderr.strip().splitlines() or [f"exit status {answer.rc}"]
        step = (
            "log in (skopeo login REGISTRY), let skopeo trust the registry's CA (containers-certs.d), or open the way there; "
            "the next run goes on with what is left"
        )
        raise GpuError(f"{source} as {target}", said[-1], " ".join(argv), step)
    after = look(run, source, target)
    if not after.same:
        found = f"{after.found or 'none'} where the source has {after.wanted or 'none'}"
        step = "find out what changes images on their way into that registry"
        raise GpuError(f"the image of {source} as {target}", found, "the two registries' manifests", step)
    return after.found
