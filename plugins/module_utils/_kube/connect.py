# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the way to the Kubernetes API: connection options → ``Api``.

The ``kubernetes`` Python client supplies what is hard (kubeconfig, credentials that refresh, TLS, proxies); its models
are left out, since building an object for each field of 1,000 nodes costs more than the request.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import FIELD_MANAGER, Api, Retry, in_parallel
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

if TYPE_CHECKING:
    from kubernetes.client import Configuration

__all__ = ["ARGUMENT_SPEC", "FIELD_MANAGER", "Api", "ApiFault", "Retry", "connect", "in_parallel"]


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


def connect(params: dict[str, Any], concurrency: int = 8) -> Api:
    """Return the API server that a module's connection options name."""
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

    def headers() -> dict[str, str]:
        found = {"User-Agent": FIELD_MANAGER}
        settings: Any = configuration.auth_settings()
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                found[setting["key"]] = setting["value"]
        return found

    return Api(pool, configuration.host, headers, timeout_s=params.get("request_timeout") or 30)


def _configuration(params: dict[str, Any]) -> Configuration:
    from kubernetes import config
    from kubernetes.client import Configuration

    found = Configuration()
    wanted = params.get("kubeconfig") or config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        if params.get("kubeconfig") or any(Path(p).expanduser().exists() for p in wanted.split(":")):
            config.load_kube_config(wanted, params.get("context"), found, persist_config=False)
        elif not params.get("host"):
            wanted = "the ServiceAccount of this pod"
            config.load_incluster_config(client_configuration=found)
    except (config.ConfigException, OSError, ValueError) as error:
        step = "give 'kubeconfig' (and 'context'), or 'host' and 'api_key'"
        raise ApiFault("how to reach the Kubernetes API", str(error), str(wanted), step) from error
    if params.get("host"):
        found.host = params["host"]
    if params.get("api_key"):
        found.api_key = {"authorization": f"Bearer {params['api_key']}"}
        found.refresh_api_key_hook = None
        found.cert_file = found.key_file = None  # a client certificate would win over the token
    if params.get("ca_cert"):
        found.ssl_ca_cert = params["ca_cert"]
    if params.get("validate_certs") is not None:
        found.verify_ssl = params["validate_certs"]
    return found
