# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolve connection options to one kubeconfig, so that every tool talks to the same API server.

helm knows nothing of ``K8S_AUTH_*``, and kubernetes.core prefers a pod's ServiceAccount to a kubeconfig that was not named: left
alone, each tool finds a way of its own. What refreshes a credential (exec plugin, token file) is kept, not its present value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Dict

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

Document = Dict[str, Any]
NAME = "t9k"
#: Where Kubernetes puts a pod's own account (kubernetes.io, "Accessing the API from a Pod").
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")


def default_paths(environ: Mapping[str, str]) -> str:
    """Return where a kubeconfig is looked for that nobody named."""
    return environ.get("KUBECONFIG") or "~/.kube/config"


def resolve(params: Mapping[str, Any], environ: Mapping[str, str]) -> Document:
    """Return a kubeconfig with the one cluster, user and context that the options mean; ApiFault if there is none."""
    cluster, user = _base(params, environ)
    if params.get("host"):
        cluster["server"] = params["host"]
    if params.get("api_key"):
        user = {"token": params["api_key"]}
    if params.get("ca_cert"):
        cluster.pop("certificate-authority-data", None)
        cluster["certificate-authority"] = str(Path(params["ca_cert"]).expanduser().resolve())
    if params.get("validate_certs") is not None:
        cluster["insecure-skip-tls-verify"] = not params["validate_certs"]
    if cluster.get("insecure-skip-tls-verify"):  # the two exclude each other
        cluster = {key: value for key, value in cluster.items() if not key.startswith("certificate-authority")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }


def _base(params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Document, Document]:
    """Return cluster and user before the options that override them. Host and token together need nothing else."""
    if params.get("host") and params.get("api_key"):
        return {}, {}
    named = params.get("kubeconfig")
    paths = [Path(part).expanduser() for part in str(named or default_paths(environ)).split(os.pathsep) if part]
    found = [path for path in paths if path.exists()]
    if found:
        return _from_files(found, params.get("context"))
    if not named and (_ACCOUNT / "token").exists() and environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environ)
    if params.get("host"):
        return {}, {}
    step = "give 'kubeconfig' (and 'context'), or 'host' and 'api_key'"
    where = ", ".join(map(str, paths))
    raise ApiFault("how to reach the Kubernetes API", "no such file, and no ServiceAccount of a pod", where, step)


def _in_cluster(environ: Mapping[str, str]) -> tuple[Document, Document]:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return {"server": server, "certificate-authority": str(_ACCOUNT / "ca.crt")}, {"tokenFile": str(_ACCOUNT / "token")}


def _from_files(paths: list[Path], context: str | None) -> tuple[Document, Document]:
    """Return a context's cluster and user; of several files the first that names a thing wins, as with kubectl."""
    entries: dict[str, dict[str, Document]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = context
    for path in paths:
        content = _read(path)
        current = current or content.get("current-context")
        for kind, known in entries.items():
            for entry in content.get(kind) or []:
                known.setdefault(entry["name"], _absolute(entry.get(kind[:-1]) or {}, path.parent))
    chosen = entries["contexts"].get(current or "")
    cluster = entries["clusters"].get((chosen or {}).get("cluster", ""))
    if chosen is None or not cluster:
        have = ", ".join(sorted(entries["contexts"])) or "none"
        step = "give 'context', or correct the kubeconfig"
        found = f"contexts {have}" if chosen is None else f"no cluster {chosen.get('cluster')!r} for it"
        raise ApiFault(f"context {current or '(none is current)'}", found, ", ".join(map(str, paths)), step)
    return dict(cluster), dict(entries["users"].get(chosen.get("user", ""), {}))


def _read(path: Path) -> Document:
    try:
        content = yaml_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # whatever the file does to the parser: it is no kubeconfig
        raise ApiFault("a kubeconfig", str(error), str(path), "correct 'kubeconfig'") from error
    if not isinstance(content, dict):
        raise ApiFault("a kubeconfig", "no map", str(path), "correct 'kubeconfig'")
    return content


def _absolute(entry: Document, folder: Path) -> Document:
    """Make the files that an entry names independent of where the kubeconfig is."""
    found = dict(entry)
    for key in (*_CLUSTER_FILES, *_USER_FILES):
        if found.get(key):
            found[key] = str((folder / Path(found[key]).expanduser()).resolve())
    command = (found.get("exec") or {}).get("command", "")
    if os.sep in command:
        found["exec"] = {**found["exec"], "command": str((folder / command).resolve())}
    return found
