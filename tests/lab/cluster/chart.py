"""Packages of the lab's own GPU Operator chart, each with the defaults and the CRD of one generation."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cluster import tools
from tests.lab.log import LabError

CHART = Path(__file__).resolve().parent.parent / "chart"
CRD = "crds/clusterpolicy.yaml"


def versions() -> list[str]:
    return sorted(path.stem for path in (CHART / "generations").glob("*.yaml"))


def package(version: str, out: Path) -> Path:
    """``gpu-operator-VERSION.tgz`` in ``out``."""
    if version not in versions():
        raise LabError(f"--version: wanted one of {', '.join(versions())}, found {version!r}")
    generation = yaml.safe_load((CHART / "generations" / f"{version}.yaml").read_text()) or {}
    helm = tools.provision(("helm",))["helm"]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        chart = Path(work, "gpu-operator")
        shutil.copytree(CHART, chart)
        for name in generation.get("files_without", []):
            (chart / name).unlink()
        _rewrite(chart / "values.yaml", lambda values: merged(values, generation.get("values", {})))
        _rewrite(chart / CRD, lambda crd: without(crd, generation.get("crd_without", [])))
        argv = [
            str(helm),
            "package",
            str(chart),
            "--version",
            version,
            "--app-version",
            version,
            "-d",
            str(out.resolve()),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"helm package failed: {done.stderr.strip()}")
    return out.resolve() / f"gpu-operator-{version}.tgz"


def _rewrite(file: Path, change: Any) -> None:
    # helm shows CRDs one after the other as they are, so each begins with the mark of a document, as the real chart's do.
    file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text())), sort_keys=False, explicit_start=True))


def merged(base: Any, over: Any) -> Any:
    """``over`` on top of ``base``; a null takes a key away."""
    if not (isinstance(base, dict) and isinstance(over, Mapping)):
        return over
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(base.get(key), value)
    return result


def without(crd: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """The CRD less some fields of the spec, each a dotted path, so that a real API server prunes them."""
    result: dict[str, Any] = json.loads(json.dumps(crd))  # a copy in which no two places share a mapping
    for path in paths:
        schema = result["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        *parents, last = path.split(".")
        for parent in parents:
            schema = schema["properties"][parent]
        del schema["properties"][last]
    return result
