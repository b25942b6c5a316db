"""The operator's operands: which are wanted for a ClusterPolicy, and the objects that make them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab.cluster.gpu_node import DEPLOY

HASH = "nvidia.com/last-applied-hash"
#: On a pod: ``pending``, ``run`` or ``fail`` instead of what kwok would do with it; see kwok.yml.
POD_FATE = "t9k.gpu/lab-pod"


@dataclass(frozen=True)
class Operand:
    """A DaemonSet of the operator: its name, the section of the ClusterPolicy and the deploy label it selects by."""

    name: str
    section: str
    deploy: str
    default: bool = True


OPERANDS = (
    Operand("nvidia-driver-daemonset", "driver", "driver"),
    Operand("nvidia-container-toolkit-daemonset", "toolkit", "container-toolkit"),
    Operand("nvidia-operator-validator", "validator", "operator-validator"),
    Operand("nvidia-device-plugin-daemonset", "devicePlugin", "device-plugin"),
    Operand("nvidia-dcgm", "dcgm", "dcgm", default=False),
    Operand("nvidia-dcgm-exporter", "dcgmExporter", "dcgm-exporter"),
    Operand("gpu-feature-discovery", "gfd", "gpu-feature-discovery"),
    Operand("nvidia-mig-manager", "migManager", "mig-manager"),
    Operand("nvidia-node-status-exporter", "nodeStatusExporter", "node-status-exporter", default=False),
)

#: For nodes whose GPUs go to virtual machines (NVIDIA/gpu-operator v26.7.0, controllers/state_manager.go, func isStateEnabled).
SANDBOX = (
    Operand("nvidia-sandbox-device-plugin-daemonset", "sandboxDevicePlugin", "sandbox-device-plugin", default=False),
    Operand("nvidia-sandbox-validator", "", "sandbox-validator"),
    Operand("nvidia-vfio-manager", "vfioManager", "vfio-manager", default=False),
)


def wanted(spec: Mapping[str, Any]) -> tuple[Operand, ...]:
    """The operands of a ClusterPolicy's spec; the driver is NVIDIADriver's matter where the spec says so."""
    sandbox = SANDBOX if (spec.get("sandboxWorkloads") or {}).get("enabled") else ()
    found = (o for o in (*OPERANDS, *sandbox) if (spec.get(o.section) or {}).get("enabled", o.default))
    return tuple(o for o in found if o.section != "driver" or not spec.get("driver", {}).get("useNvidiaDriverCRD"))


def plugin_config(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The ConfigMap and the default config that the policy gives the device plugin; empty where none."""
    config = spec.get("devicePlugin", {}).get("config") or {}
    return config.get("name") or "", config.get("default") or ""


def daemonset(operand: Operand, policy: Mapping[str, Any], namespace: str, pending: bool = False) -> dict[str, Any]:
    """The DaemonSet of an operand, owned by the policy and stamped with a hash of itself."""
    spec = policy["spec"]
    section = spec.get(operand.section) or {}
    image = f"{section.get('repository', 'lab')}/{section.get('image', operand.name)}:{section.get('version', 'lab')}"
    pod: dict[str, Any] = {
        "nodeSelector": {f"{DEPLOY}{operand.deploy}": "true"},
        "tolerations": spec.get("daemonsets", {}).get("tolerations", []),
        "containers": [{"name": operand.name, "image": image, "env": section.get("env", [])}],
        "imagePullSecrets": [{"name": name} for name in section.get("imagePullSecrets", [])],
    }
    config_map = plugin_config(spec)[0]
    if operand.section in ("devicePlugin", "gfd") and config_map:
        pod["volumes"] = [{"name": "config", "configMap": {"name": config_map}}]
    labels = {"app": operand.name}
    template: dict[str, Any] = {"metadata": {"labels": labels}, "spec": pod}
    if pending:
        template["metadata"]["annotations"] = {POD_FATE: "pending"}
    body = {"selector": {"matchLabels": labels}, "template": template}
    stamp = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    metadata = {**_metadata(operand.name, namespace, policy), "annotations": {HASH: stamp}}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": body}


def owner(policy: Mapping[str, Any]) -> dict[str, Any]:
    """What the operator writes on all that it makes, cluster-wide or not, so that it goes with the policy (NVIDIA/gpu-operator,
    controllers/object_controls.go, SetControllerReference)."""
    return {
        "apiVersion": policy["apiVersion"],
        "kind": policy["kind"],
        "name": policy["metadata"]["name"],
        "uid": policy["metadata"]["uid"],
        "controller": True,
    }


def _metadata(name: str, namespace: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    # The policy's labels are on every DaemonSet (NVIDIA/gpu-operator, controllers/object_controls.go, func DaemonSet).
    given = policy.get("spec", {}).get("daemonsets", {}).get("labels") or {}
    labels = {"app": name, "app.kubernetes.io/managed-by": "gpu-operator", **given}
    return {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner(policy)]}


def exporter_service(policy: Mapping[str, Any], namespace: str, name: str = "nvidia-dcgm-exporter") -> dict[str, Any]:
    """The Service through which DCGM's metrics are scraped."""
    ports = [{"name": "gpu-metrics", "port": 9400, "targetPort": 9400, "protocol": "TCP"}]
    spec = {"selector": {"app": name}, "ports": ports, "type": "ClusterIP"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(name, namespace, policy), "spec": spec}


def service_monitor(policy: Mapping[str, Any], namespace: str) -> dict[str, Any] | None:
    """The operator's own ServiceMonitor where the policy wants it."""
    wish = policy["spec"].get("dcgmExporter", {}).get("serviceMonitor") or {}
    if not wish.get("enabled"):
        return None
    name = "nvidia-dcgm-exporter"
    metadata = _metadata(name, namespace, policy)
    metadata["labels"].update(wish.get("additionalLabels") or {})
    endpoint = {"port": "gpu-metrics", "path": "/metrics", "interval": wish.get("interval", "15s")}
    spec = {
        "jobLabel": "app",
        "endpoints": [endpoint],
        "namespaceSelector": {"matchNames": [namespace]},
        "selector": {"matchLabels": {"app": name}},
    }
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata, "spec": spec}


def rolled_out(daemonset: Mapping[str, Any]) -> bool:
    """Every node that shall have a pod has one of this generation, and it is ready."""
    status = daemonset.get("status", {})
    count = status.get("desiredNumberScheduled", -1)
    return (
        status.get("observedGeneration") == daemonset["metadata"]["generation"]
        and status.get("updatedNumberScheduled", 0) == count
        and status.get("numberReady", 0) == count
    )
