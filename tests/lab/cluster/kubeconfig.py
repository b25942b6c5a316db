"""kubeconfig files: one for the lab's user, one for any ServiceAccount."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def render(port: int, pki: Path, user: str, credentials: dict[str, str], namespace: str = "default") -> str:
    """The text of a kubeconfig with one context."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": _inline(pki / "ca.crt")}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user, "namespace": namespace}}],
        "current-context": "lab",
    }
    return yaml.safe_dump(document, sort_keys=False)


def for_certificate(port: int, pki: Path, user: str) -> str:
    """A kubeconfig that carries the client certificate of ``user``."""
    credentials = {
        "client-certificate-data": _inline(pki / f"{user}.crt"),
        "client-key-data": _inline(pki / f"{user}.key"),
    }
    return render(port, pki, user, credentials)


def for_token(port: int, pki: Path, user: str, token: str, namespace: str) -> str:
    """A kubeconfig that carries a token, as for a ServiceAccount."""
    return render(port, pki, user, {"token": token}, namespace)
