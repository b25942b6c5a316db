"""Print a software bill of materials (CycloneDX 1.6, JSON) of a built archive: what it is, and what it needs beside it.

Nothing is vendored, so the archive is one component; what it needs is taken from galaxy.yml, meta/ and the archive's own manifest. No
tool that makes such bills knows Ansible's collections.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
import uuid
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def component(kind: str, name: str, bounds: str) -> dict[str, Any]:
    """Return what is needed; its version is whatever fits the bounds, so they are told and no version is."""
    ref = f"pkg:{kind}/{name}"
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "properties": [{"name": "t9k.gpu:version-range", "value": bounds}],
        **({"purl": ref} if kind == "pypi" else {}),
    }


def needed() -> list[dict[str, Any]]:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    core = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    python = re.findall(r"^([\w-]+)(\S+)$", (ROOT / "meta/ee-requirements.txt").read_text(), re.MULTILINE)
    return [
        component("pypi", "ansible-core", core),
        *(component("pypi", name, bounds) for name, bounds in python),
        *(component("ansible", name, bounds) for name, bounds in galaxy["dependencies"].items()),
    ]


def bill(archive: Path) -> dict[str, Any]:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with tarfile.open(archive) as tar:
        told = json.loads(tar.extractfile("MANIFEST.json").read())["collection_info"]  # type: ignore[union-attr]
    ref = f"{told['namespace']}.{told['name']}@{told['version']}"
    parts = needed()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": ref,
                "group": told["namespace"],
                "name": told["name"],
                "version": told["version"],
                "licenses": [{"license": {"id": name}} for name in told["license"]],
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": ref, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1])), sys.stdout, indent=2)
