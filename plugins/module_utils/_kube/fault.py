# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Explain what a refusal of the Kubernetes API means and what to do about it."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

# The API server's own sentence, e.g. nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at …
_FORBIDDEN = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) (?:resource|path) "(?P<what>[^"]*)"')

_NEXT = {
    400: "correct the request; the sentence of the API server names what it could not read",
    401: "check that the token or client certificate in the kubeconfig is valid and has not expired",
    404: "check the name, the namespace, and that the CRD of this kind is installed",
    409: "find out who else writes this object; run again to repair what is left",
    410: "run again; the list changed while it was read",
    422: "correct the value that the API server names",
    429: "the API server is overloaded: lower the concurrency, or run again later",
}


class ApiFault(GpuError):  # noqa: N818 - a fault, like GpuError's others
    """A request that the API server refused or that never reached it (``status`` 0)."""

    def __init__(
        self,
        wanted: str,
        found: str,
        where: str,
        next_step: str,
        *,
        status: int = 0,
        reason: str = "",
        causes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(wanted, found, where, next_step)
        self.status = status
        self.reason = reason
        self.causes = causes  # (reason, message) as the API server details them

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status in (401, 403)


def status_of(body: bytes) -> dict[str, Any]:
    """Return the API server's ``Status`` object in an answer; {} for anything else, such as a proxy's HTML page."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}


def owned_by_another(status: dict[str, Any]) -> bool:
    """Tell whether a server-side apply was refused because another manager owns the field: trying again cannot help."""
    return any(cause.get("reason") == "FieldManagerConflict" for cause in _causes(status))


def _causes(status: dict[str, Any]) -> list[dict[str, Any]]:
    return (status.get("details") or {}).get("causes") or []


def _next_step(status_code: int, message: str) -> str:
    forbidden = _FORBIDDEN.search(message)
    if forbidden:
        return "grant the verb '{verb}' on '{what}' to '{user}' (docs/ has the least RBAC that is needed)".format(
            **forbidden.groupdict()
        )
    if status_code == 403:
        return "grant this request to the account that the kubeconfig uses"
    if status_code >= 500:
        return "look at the API server's health and log, then run again"
    return _NEXT.get(status_code, "act on the sentence of the API server")


def refused(request: str, server: str, status_code: int, body: bytes, attempts: int) -> ApiFault:
    """Make the fault for an answer that is not a success, after ``attempts`` attempts."""
    status = status_of(body)
    said = status.get("message") or body[:200].decode("utf-8", "replace").strip() or "no message"
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    reason = status.get("reason") or ""
    found = f"HTTP {status_code} {reason}".rstrip() + f"{tried}: {said}"
    where, causes = f"API server {server}", tuple((c.get("reason", ""), c.get("message", "")) for c in _causes(status))
    return ApiFault(
        request, found, where, _next_step(status_code, said), status=status_code, reason=reason, causes=causes
    )


def unreachable(request: str, server: str, error: Exception, attempts: int, tls: bool) -> ApiFault:
    """Make the fault for a request that got no answer."""
    text = str(error)
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    if tls:
        step = "check the certificate authority in the kubeconfig (ca_cert) and the name in 'host'"
        return ApiFault(request, f"the TLS handshake failed: {text}", f"API server {server}", step)
    step = "check that the API server runs and that this machine has a route to it"
    for sign, meaning, better in (
        ("refused", "nothing listens there", step),
        ("No route", "no route to the host", step),
        ("unreachable", "the network is unreachable", step),
        ("resolve", "the name does not resolve", "check the server's name in the kubeconfig and the DNS"),
        ("Name or service", "the name does not resolve", "check the server's name in the kubeconfig and the DNS"),
        ("timed out", "no answer in time", "check the network and the server's load, or raise request_timeout"),
    ):
        if sign in text:
            return ApiFault(request, f"{meaning}{tried}: {text}", f"API server {server}", better)
    return ApiFault(request, f"the connection broke{tried}: {text}", f"API server {server}", step)
