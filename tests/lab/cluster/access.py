"""Ways into the cluster: shell exports, and kubeconfigs for ServiceAccounts."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.lab.cluster import kubeconfig, memory
from tests.lab.cluster.api import Api
from tests.lab.log import LabError
from tests.lab.state import Lab, write_atomically


def shell_exports(lab: Lab) -> str:
    """For ``eval "$(… env)"``."""
    return f"export KUBECONFIG={shlex.quote(str(lab.kubeconfig))}\nexport PATH={shlex.quote(str(lab.bin))}:$PATH"


def service_account_kubeconfig(lab: Lab, account: str) -> Path:
    """A kubeconfig that acts as ``namespace/name`` for a day; the ServiceAccount must exist."""
    namespace, slash, name = account.partition("/")
    if not (namespace and slash and name):
        raise LabError(f"--service-account: wanted NAMESPACE/NAME, found {account!r}")
    state = memory.read(lab)
    if not state:
        raise LabError(f"lab {lab.name}: no cluster; bring it up first")
    port = state["ports"]["kube-apiserver"]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    token = Api(port, lab.pki).request("POST", path, body)["status"]["token"]
    at = lab.folder / f"kubeconfig-{namespace}-{name}"
    write_atomically(at, kubeconfig.for_token(port, lab.pki, f"{namespace}/{name}", token, namespace))
    return at
