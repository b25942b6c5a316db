# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the way to the Kubernetes API: connection options → ``Api``.

The ``kubernetes`` Python client supplies what is hard (kubeconfig, credentials that refresh, TLS, proxies); its models
are left out, since building an object for each field of 1,000 nodes costs more than the request.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import FIELD_MANAGER, Api, Retry, in_parallel
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._kube.kubeconfig import resolve

if TYPE_CHECKING:
    from kubernetes.client import Configuration

__all__ = ["ARGUMENT_SPEC", "FIELD_MANAGER", "Api", "ApiFault", "Retry", "cluster_uid", "connect", "in_parallel"]


def _option(name: str, **more: Any) -> dict[str, Any]:
    return {**more, "fallback": (env_fallback, [f"K8S_AUTH_{name}"])}


#: The connection options of every module that talks to the API; documented by the fragment ``t9k.gpu.kube``.
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "kubeconfig": _option("KUBECONFIG", type="path"),
    "context": _option("CONTEXT", type="str"),
    "host": _option("HOST", type="str"),
    "api_key": _option("API_KEY", type="str", no_log=True),
    "ca_cert": _option("SSL_CA_CERT", type="path"),
    "validate_certs": _option("VERIFY_SSL", type="bool"),
    "request_timeout": {"type": "int", "default": 30},
}


def connect(params: dict[str, Any], concurrency: int = 8, known: bool = False) -> Api:
    """Return the API server that a module's connection options name.

    ``known``: it has answered before, so that a first request without an answer is a passing fault, not a wrong address.
    """
    try:
        from kubernetes.client import ApiClient
    except ImportError as error:
        raise ApiFault(
            "the Python package 'kubernetes'",
            str(error),
            "the Python that runs this module",
            "install it, e.g. python3-kubernetes, or run the module where it is (delegate_to: localhost)",
        ) from error
    configuration = _configuration(params)
    configuration.connection_pool_maxsize = max(concurrency, 4)
    pool = ApiClient(configuration).rest_client.pool_manager

    retry = Retry(attempts_before_first_answer=Retry.attempts) if known else Retry()

    def headers() -> dict[str, str]:
        found = {"User-Agent": FIELD_MANAGER}
        settings: Any = configuration.auth_settings()
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                found[setting["key"]] = setting["value"]
        return found

    return Api(pool, configuration.host, headers, timeout_s=params.get("request_timeout") or 30, retry=retry)


def cluster_uid(api: Api) -> str:
    """Return what tells a cluster from any other: the UID of its namespace kube-system, which nobody deletes."""
    return str(api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])


def _configuration(params: dict[str, Any]) -> Configuration:
    from kubernetes import config
    from kubernetes.client import Configuration

    document = resolve(params, os.environ)
    found = Configuration()
    try:
        config.load_kube_config_from_dict(document, client_configuration=found, persist_config=False)
    except (config.ConfigException, OSError, ValueError) as error:
        step = "correct the credentials in the kubeconfig, or give 'host' and 'api_key'"
        where = document["clusters"][0]["cluster"].get("server", "no server")
        raise ApiFault("credentials for the Kubernetes API", str(error), where, step) from error
    return found
