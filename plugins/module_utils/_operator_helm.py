# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which helm there is and what a chart needs with it. Private: subject to change without notice."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

_TIME_LIMIT_S = 30


def helm_facts(run: Run, series: Mapping[str, Any]) -> dict[str, Any]:
    """``found``: what helm said; ``major``; ``arguments`` that this chart needs with it."""
    result = run(["helm", "version", "--template", "{{.Version}}"], timeout_s=_TIME_LIMIT_S)
    if result.missing:
        return {"major": 0, "found": "no program helm in the PATH of the control host", "arguments": []}
    match = re.match(r"v(\d+)\.", result.stdout.strip())
    major = int(match[1]) if match else 0
    # Helm 4 applies on the server's side; charts of old have lists there that the server refuses.
    old = major >= 4 and not series.get("server_side_apply", True)
    found = result.stdout.strip() or result.stderr.strip() or f"exit status {result.rc}"
    return {"major": major, "found": found, "arguments": ["--server-side=false"] if old else []}


def helm_faults(facts: Mapping[str, Any]) -> list[str]:
    if facts["major"] in (3, 4):
        return []
    step = "install helm 3 or 4 on the control host (the machine that runs ansible-playbook)"
    return [str(GpuError("helm 3 or 4", str(facts["found"]), "helm version", step))]
