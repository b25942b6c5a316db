# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the API server whether a plan's steps are allowed, before the first of them is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api

#: What each kind of step must be allowed to do: verb, API group, resource.
RIGHTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "namespace": (("create", "", "namespaces"),),
    "record": (("patch", "", "configmaps"), ("create", "", "configmaps")),
    "pull_secrets": (("create", "", "secrets"),),
    "adopt": (
        ("patch", "apps", "deployments"),
        ("patch", "nvidia.com", "clusterpolicies"),
        ("patch", "rbac.authorization.k8s.io", "clusterroles"),
        ("patch", "rbac.authorization.k8s.io", "clusterrolebindings"),
        ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    ),
    "crds": (
        ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
        ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    ),
    "sharing": (("create", "", "configmaps"), ("patch", "", "configmaps"), ("delete", "", "pods")),
    "release": (
        ("create", "", "secrets"),
        ("create", "apps", "deployments"),
        ("patch", "apps", "deployments"),
        ("create", "rbac.authorization.k8s.io", "clusterroles"),
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
        ("create", "nvidia.com", "clusterpolicies"),
        ("patch", "nvidia.com", "clusterpolicies"),
    ),
    "policy": (("patch", "nvidia.com", "clusterpolicies"),),
    "labels": (("patch", "", "nodes"),),
    "partition": (("patch", "", "nodes"), ("get", "", "nodes")),
    "release_remove": (("delete", "nvidia.com", "clusterpolicies"), ("delete", "apps", "deployments")),
    "crds_remove": (("delete", "apiextensions.k8s.io", "customresourcedefinitions"),),
}
RIGHTS["manifests"] = RIGHTS["release"][1:]
RIGHTS["manifests_remove"] = RIGHTS["release_remove"]


def rights(steps: Iterable[Step]) -> tuple[tuple[str, str, str], ...]:
    """Return the rights that the steps of a plan need, each once."""
    needed: dict[tuple[str, str, str], None] = {}
    for step in steps:
        needed.update(dict.fromkeys(RIGHTS.get(step.name, ())))
    return tuple(needed)


def missing_rights(api: Api, steps: Iterable[Step], namespace: str) -> tuple[str, ...]:
    """Ask the API server for each right that the plan needs; done only if something is to be done."""
    missing = []
    for verb, group, resource in rights(steps):
        attributes: dict[str, Any] = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        body: Mapping[str, Any] = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", dict(body))
        if not answer["status"]["allowed"]:
            missing.append(f"{verb} {resource}{'.' + group if group else ''}")
    if not missing:
        return ()
    found = f"not allowed: {', '.join(missing)}"
    step = "grant what docs/rbac.yaml lists to the account that the kubeconfig uses"
    return (str(GpuError("the rights that this plan needs", found, f"API server {api.server}", step)),)
