"""A stand-in for the GPU Operator, NFD, GPU feature discovery, the device plugin and the MIG manager.

kwok shows their pods as running, yet nothing runs in them; this process does to the API's objects what they would do.
It acts only while the chart's Deployment ``gpu-operator`` is available. Faults are asked for by the ConfigMap
``kube-system/lab-operator-faults``, a key a fault:

``never-ready: "true"``           the ClusterPolicy stays notReady
``no-allocatable: node-1,node-2`` (or ``*``) these nodes show no GPU resource
``pending-operands: name,name``   the pods of these DaemonSets stay Pending
``mig-fails: "true"``             a MIG configuration ends in ``failed``, and stays so until another one is asked for

It also ends in ``failed`` where a pod holds one of the node's GPUs: the MIG manager wants no user's work on them (NVIDIA's
documentation, "GPU Operator with MIG", Architecture).

The MIG manager looks at the GPUs before it says ``pending``, so what stood before stands for a while, and it acts only on another
configuration than the one it has acted on (NVIDIA/mig-parted, pkg/mig/reconfigure/reconfigure.go, func Run: isConfigAlreadyApplied and
checkMigModeChangeRequired come before the label; cmd/nvidia-mig-manager/main.go: its informer waits for another value).

A new operator pod leads only when its predecessor's lease has run out: the operator asks for leader election and not for
releasing the lease (NVIDIA/gpu-operator, cmd/gpu-operator/main.go), so controller-runtime's 15 s hold. Until then DaemonSets and
the ClusterPolicy's state stay as the former one left them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.cluster import dra, driver_pools, gpu_node, memory, nodes, operands
from tests.lab.cluster.api import Api
from tests.lab.cluster.gpu_node import Sharing
from tests.lab.log import LabError, say
from tests.lab.state import Lab

Object = dict[str, Any]
POLICIES = "/apis/nvidia.com/v1/clusterpolicies"
FAULTS = "/api/v1/namespaces/kube-system/configmaps/lab-operator-faults"
PLUGIN = "nvidia-device-plugin-daemonset"
#: How long the MIG manager looks before it says a word, and works.
MIG_LOOKS_S, MIG_TAKES_S = 3.0, 2.0
#: controller-runtime's default lease duration.
LEASE_S = 15.0


@dataclass(frozen=True)
class Loaded:
    """What one plugin pod read when it started or when its node's label changed."""

    pod: str
    label: str
    sharing: Sharing | None


@dataclass
class Partition:
    """What a node's MIG manager has seen last, since when, and how it ended."""

    config: str
    since: float
    end: str = ""


@dataclass
class View:
    """The cluster as one round sees it."""

    policy: Object
    namespace: str
    daemonsets: dict[str, Object]
    pods: dict[tuple[str, str], Object]  # (app, node) → pod
    nodes: list[Object]
    faults: dict[str, str]
    nfd: bool
    leads: bool = True
    gpu_clusters: list[Object] = field(default_factory=list)
    drivers: list[Object] = field(default_factory=list)

    def runs(self, app: str, node: str) -> bool:
        pod = self.pods.get((app, node))
        return bool(pod) and pod["status"].get("phase") == "Running"  # type: ignore[index]

    def named(self, fault: str) -> tuple[str, ...]:
        return tuple(filter(None, self.faults.get(fault, "").replace(" ", "").split(",")))


@dataclass
class StandIn:
    api: Api
    loaded: dict[str, Loaded] = field(default_factory=dict)
    active: bool = True  # there may be resources left that a plugin once told
    mig: dict[str, Partition] = field(default_factory=dict)  # node → what its MIG manager is at
    leader: tuple[str, int] | None = None  # the Deployment that was seen last: its UID and generation
    leads_from: float = 0.0

    def round(self) -> None:
        """One look at the cluster, and what follows from it."""
        view = self._look()
        if view is None:
            return
        if view.policy and view.leads:
            self._operands(view)
        if view.leads:
            self._other_configs(view)
        for node in filter(_matters, view.nodes):
            self._node(view, node)
        self._pods_of_well_nodes(view)
        if view.policy and view.leads:
            self._status(view)

    def _other_configs(self, view: View) -> None:
        """What NVIDIADrivers and a GPUCluster ask for."""
        spec = view.policy["spec"] if view.policy else {}
        used = bool(view.gpu_clusters) or bool(spec.get("driver", {}).get("useNvidiaDriverCRD"))
        driver_pools.reconcile(self.api, view.drivers, view.nodes, view.namespace, used)
        known = {n["metadata"]["name"]: nodes.hardware(n) for n in view.nodes if _matters(n)}
        for cluster in view.gpu_clusters:
            dra.reconcile(self.api, cluster, view, known)

    def _look(self) -> View | None:
        """Nothing while there is no operator that could act; the kubelets act without it."""
        found = self.api.items("/apis/apps/v1/deployments?fieldSelector=metadata.name%3Dgpu-operator")
        running = [d for d in found if d.get("status", {}).get("availableReplicas")]
        if not running:
            self._forget_resources()
            return None
        self.active = True
        namespace = running[0]["metadata"]["namespace"]
        policies = [p for p in self.api.items(POLICIES) if "deletionTimestamp" not in p["metadata"]]
        daemonsets = {
            d["metadata"]["name"]: d for d in self.api.items(f"/apis/apps/v1/namespaces/{namespace}/daemonsets")
        }
        pods = self.api.items(f"/api/v1/namespaces/{namespace}/pods")
        faults = self.api.get(FAULTS) or {}
        return View(
            policies[0] if policies else {},
            namespace,
            daemonsets,
            {(_app(pod), pod["spec"].get("nodeName", "")): pod for pod in pods if _stays(pod)},
            self.api.items("/api/v1/nodes"),
            faults.get("data") or {},
            any(name.endswith("-node-feature-discovery-worker") for name in daemonsets),
            self._leads(running[0], time.monotonic()),
            self.api.items(dra.CLUSTERS),
            self.api.items(driver_pools.DRIVERS),
        )

    def _leads(self, deployment: Object, now: float) -> bool:
        """Whether the operator's pod has the lease: at once where nobody held it, else when that lease has run out."""
        found = (deployment["metadata"]["uid"], deployment["metadata"]["generation"])
        if self.leader is not None and self.leader != found and self.leader[0] == found[0]:
            self.leads_from = now + LEASE_S
        self.leader = found
        return now >= self.leads_from

    def _forget_resources(self) -> None:
        """Once the last plugin's pod is gone, the kubelets show its resources as 0; labels stay, as on real nodes."""
        if not self.active or self.api.items(f"/api/v1/pods?labelSelector=app%3D{PLUGIN}"):
            return
        for node in self.api.items("/api/v1/nodes"):
            self._tell_resources(node, {})
        self.loaded.clear()
        self.active = False

    def _operands(self, view: View) -> None:
        """DaemonSets and what goes with them, changed only where the policy changed."""
        wanted = {operand.name: operand for operand in operands.wanted(view.policy["spec"])}
        base = f"/apis/apps/v1/namespaces/{view.namespace}/daemonsets"
        for name, operand in wanted.items():
            pending = name in view.named("pending-operands")
            body = operands.daemonset(operand, view.policy, view.namespace, pending)
            stamp = body["metadata"]["annotations"][operands.HASH]
            present = view.daemonsets.get(name, {}).get("metadata", {}).get("annotations", {})
            if present.get(operands.HASH) != stamp:
                view.daemonsets[name] = self.api.apply(f"{base}/{name}", body)
        for operand in (*operands.OPERANDS, *operands.SANDBOX):
            if operand.name not in wanted and operand.name in view.daemonsets:
                self.api.delete(f"{base}/{operand.name}")
                del view.daemonsets[operand.name]
        self._companions(view)

    def _companions(self, view: View) -> None:
        """The RuntimeClass, the exporter's Service and the operator's own ServiceMonitor."""
        owned = {"name": "nvidia", "ownerReferences": [operands.owner(view.policy)]}
        runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": owned}
        self._once("/apis/node.k8s.io/v1/runtimeclasses", {**runtime, "handler": "nvidia"})
        if "nvidia-dcgm-exporter" in view.daemonsets:
            service = operands.exporter_service(view.policy, view.namespace)
            self._once(f"/api/v1/namespaces/{view.namespace}/services", service)
        at = f"/apis/monitoring.coreos.com/v1/namespaces/{view.namespace}/servicemonitors"
        monitor = operands.service_monitor(view.policy, view.namespace)
        if self.api.get("/apis/monitoring.coreos.com/v1") is None:
            return
        if monitor:
            self._once(at, monitor)
        else:
            self.api.delete(f"{at}/nvidia-dcgm-exporter")

    def _once(self, path: str, body: Object) -> None:
        if self.api.get(f"{path}/{body['metadata']['name']}") is None:
            self.api.create(path, body)

    def _node(self, view: View, node: Object) -> None:
        """Labels and resources of one node."""
        name, labels = node["metadata"]["name"], node["metadata"]["labels"]
        hardware = nodes.hardware(node)
        wanted: dict[str, str | None] = dict(gpu_node.nfd_labels(hardware, node)) if view.nfd else {}
        workload = _workload(view, labels)
        if view.gpu_clusters and hardware.count:
            wanted.update(dra.labels(node))
        elif not view.policy:
            wanted.update(_undo(labels))
        elif hardware.count:
            wanted.update(gpu_node.operator_labels(hardware, {**labels, **_texts(wanted)}, workload))
            wanted.update(self._mig(view, name, labels))
        shared = self._plugin(view, name, labels) if view.policy and hardware.count else None
        mig, strategy = _mig_config(view, labels)
        if shared and view.runs("gpu-feature-discovery", name):
            wanted.update(gpu_node.discovery_labels(hardware, shared, mig, strategy))
        elif labels.get(gpu_node.OPT_OUT) == "false":
            wanted.update({key: None for key in gpu_node.DISCOVERED if key in labels})
        patch = gpu_node.label_patch(labels, wanted)
        if patch:
            self.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": patch}})
        faulty = {"*", name} & set(view.named("no-allocatable"))
        resources = gpu_node.resources(hardware, shared, mig, strategy) if shared and not faulty else {}
        if workload != "container" and view.runs("nvidia-sandbox-device-plugin-daemonset", name):
            resources = {f"nvidia.com/{hardware.product.replace(' ', '_')}": hardware.count}
        self._tell_resources(node, resources)

    def _pods_of_well_nodes(self, view: View) -> None:
        """What the kubelet says of its pods once it is well again; kwok leaves them as the node controller has marked them."""
        well = {node["metadata"]["name"] for node in view.nodes if nodes.ready(node)}
        for (_app_name, node), pod in view.pods.items():
            conditions = pod["status"].get("conditions") or []
            runs = node in well and pod["status"].get("phase") == "Running"
            if runs and any(c["type"] == "Ready" and c["status"] == "False" for c in conditions):
                after = [{**c, "status": "True"} if c["type"] == "Ready" else c for c in conditions]
                path = f"/api/v1/namespaces/{view.namespace}/pods/{pod['metadata']['name']}/status"
                self.api.patch(path, {"status": {"conditions": after}})

    def _tell_resources(self, node: Object, resources: dict[str, int]) -> None:
        status = gpu_node.status_patch(node["status"], resources)
        if status:
            self.api.patch(f"/api/v1/nodes/{node['metadata']['name']}/status", {"status": status})

    def _plugin(self, view: View, node: str, labels: dict[str, str]) -> Sharing | None:
        """What the node's plugin shares; read anew only by a new pod or for a changed label, as the real one does."""
        if not view.runs(PLUGIN, node):
            self.loaded.pop(node, None)
            return None
        pod, label = view.pods[PLUGIN, node]["metadata"]["uid"], labels.get(gpu_node.CONFIG_LABEL, "")
        known = self.loaded.get(node)
        if known is None or (known.pod, known.label) != (pod, label):
            known = Loaded(pod, label, self._read_config(view, label))
            self.loaded[node] = known
        return known.sharing

    def _read_config(self, view: View, label: str) -> Sharing | None:
        """Nothing where the named config does not exist: the real plugin does not come up then."""
        config_map, default = operands.plugin_config(view.policy["spec"])
        chosen = label or default
        if not (config_map and chosen):
            return Sharing()
        found = self.api.get(f"/api/v1/namespaces/{view.namespace}/configmaps/{config_map}") or {}
        configs = found.get("data") or {}
        return gpu_node.sharing(configs[chosen]) if chosen in configs else None

    def _mig(self, view: View, node: str, labels: dict[str, str]) -> dict[str, str | None]:
        """The MIG manager's answer to its label: nothing while it looks, then pending, then success or failed, which it keeps."""
        config = labels.get(gpu_node.MIG_LABEL)
        if not config or not view.runs("nvidia-mig-manager", node):
            return {}
        now, state = time.monotonic(), labels.get(gpu_node.MIG_STATE, "")
        known = self.mig.get(node)
        if known is None or known.config != config:
            done = state if known is None and state == "success" else ""  # what a former run of this process has seen
            known = self.mig[node] = Partition(config, now, done)
        if not known.end and now >= known.since + MIG_LOOKS_S + MIG_TAKES_S:
            works = (
                gpu_node.mig_instances(config) is not None and not view.faults.get("mig-fails") and not self._held(node)
            )
            known.end = "success" if works else "failed"
        if known.end:
            return {gpu_node.MIG_STATE: known.end}
        return {gpu_node.MIG_STATE: "pending"} if now >= known.since + MIG_LOOKS_S else {}

    def _held(self, node: str) -> bool:
        """Whether pods have the GPUs, which then cannot be partitioned."""
        pods = self.api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")
        return any(gpu_node.holds_gpus(pod) for pod in pods)

    def _status(self, view: View) -> None:
        """``ready`` once every operand is rolled out and the plugins have told their nodes' resources."""
        names = [operand.name for operand in operands.wanted(view.policy["spec"])]
        waiting = [name for name in names if not operands.rolled_out(view.daemonsets[name])]
        ready = not waiting and not view.faults.get("never-ready")
        message = f"waiting for {', '.join(waiting)}" if waiting else ("" if ready else "ClusterPolicy is not ready")
        reason = "Reconciled" if ready else "OperandNotReady"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {"type": "Ready", "status": str(ready), "reason": reason, "message": message}
        wanted = {"state": "ready" if ready else "notReady", "namespace": view.namespace}
        present = view.policy.get("status", {})
        known = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in present.get("conditions", [])]
        if {k: present.get(k) for k in wanted} != wanted or known != [condition]:
            status = {**wanted, "conditions": [{**condition, "lastTransitionTime": now}]}
            self.api.patch(f"{POLICIES}/{view.policy['metadata']['name']}/status", {"status": status})


def _matters(node: Object) -> bool:
    """An extra node without GPUs is there to be counted: it is spared even NFD's labels."""
    filler = node["metadata"]["labels"].get(nodes.LABEL) == "extra"
    return not filler or nodes.hardware(node).count > 0


def _app(pod: Object) -> str:
    app: str = pod["metadata"].get("labels", {}).get("app", "")
    return app


def _stays(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def _texts(labels: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if value is not None}


def _undo(labels: dict[str, str]) -> dict[str, str | None]:
    """What is taken away once there is no ClusterPolicy; what a user set stays."""
    ours = ("nvidia.com/gpu.present", *gpu_node.DISCOVERED)
    deployed = [key for key in labels if key.startswith(gpu_node.DEPLOY) and key != gpu_node.OPT_OUT]
    return {key: None for key in (*ours, *deployed) if key in labels}


def _workload(view: View, labels: dict[str, str]) -> str:
    sandbox = (view.policy or {}).get("spec", {}).get("sandboxWorkloads") or {}
    default = sandbox.get("defaultWorkload") or "container"
    return labels.get(gpu_node.WORKLOAD) or default if sandbox.get("enabled") else "container"


def _mig_config(view: View, labels: dict[str, str]) -> tuple[str, str]:
    done = labels.get(gpu_node.MIG_STATE) == "success"
    strategy = (view.policy or {}).get("spec", {}).get("mig", {}).get("strategy", "single")
    return labels.get(gpu_node.MIG_LABEL, "") if done else "", strategy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    lab = Lab(parser.parse_args().name)
    stand_in = StandIn(Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki, "lab-operator"))
    while lab.cluster.exists():
        began = time.monotonic()
        try:
            stand_in.round()
        except (LabError, OSError) as error:
            say(f"operator stand-in: {error}")
        spent = time.monotonic() - began
        time.sleep(min(5.0, max(1.0, 2 * spent)))  # with many nodes, leave the API server some time to others
    return 0


if __name__ == "__main__":
    sys.exit(main())
