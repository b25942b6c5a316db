"""The argument lists of the cluster's processes, and the files that they read. Pure but for ``prepare``."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.lab.cluster import kubeconfig, pki
from tests.lab.spec import HERE
from tests.lab.state import Lab, write_atomically

#: In the order in which they start.
PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kwok")
#: Below the range that Linux hands to outgoing connections, so that a port stays ours across a restart.
_RANGE = (20000, 32000)

#: Who did what, without bodies; the lab's own processes are left out, so that a test counts its own requests.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": [*(user for user in pki.USERS if user != "lab-admin"), "system:apiserver"]},
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*"]},
        {"level": "Metadata"},
    ],
}

#: Streaming lists need etcd 3.5; distributions still ship 3.4, on which such a watch only fails and is tried again.
ENVIRONMENT = {"KUBE_FEATURE_WatchListClient": "false"}
#: Renewed four times in this span: with the usual 40 s, a thousand nodes would be a hundred requests a second.
_LEASE_S = 400

OTHERS = "others"
#: Container name → what its log says; below ``pod-logs/`` in the lab's state, where a test may write something else.
POD_LOGS = {
    "nvidia-operator-validator": "all validations are successful",
    OTHERS: "lab: kwok plays this container, nothing runs in it",
}


def choose_ports(name: str, known: Mapping[str, int]) -> dict[str, int]:
    """A free port for each server; those chosen before stay. Labs of different names search from different places."""
    low, high = _RANGE
    candidate = low + zlib.crc32(name.encode()) % (high - low - 200)
    ports = dict(known)
    for server in PORTS:
        while server not in ports:
            candidate = candidate + 1 if candidate < high else low
            if candidate not in ports.values() and _free(candidate):
                ports[server] = candidate
    return ports


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def prepare(lab: Lab, ports: Mapping[str, int]) -> None:
    """Keys, kubeconfigs and the audit policy."""
    pki.make(lab.pki)
    for user in pki.USERS:
        if user == "lab-housekeeping":
            continue
        at = lab.kubeconfig if user == "lab-admin" else lab.cluster / f"{user}.kubeconfig"
        write_atomically(at, kubeconfig.for_certificate(ports["kube-apiserver"], lab.pki, user))
    write_atomically(lab.cluster / "audit-policy.yml", yaml.safe_dump(AUDIT_POLICY))
    _prepare_logs(lab)


def _prepare_logs(lab: Lab) -> None:
    """What ``kubectl logs`` shows: a file for the containers that have something to say, and one for all others."""
    directory = lab.cluster / "pod-logs"
    for stem, line in POD_LOGS.items():
        if not (directory / stem).exists():
            write_atomically(directory / stem, f"2026-01-01T00:00:00.000000000Z stdout F {line}\n")
    entries = [{"containers": [stem], "logsFile": str(directory / stem)} for stem in POD_LOGS if stem != OTHERS]
    document = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "pod-logs"},
        "spec": {"logs": [*entries, {"logsFile": str(directory / OTHERS)}]},
    }
    write_atomically(lab.cluster / "kwok-logs.yml", yaml.safe_dump(document))


def commands(lab: Lab, ports: Mapping[str, int], tools: Mapping[str, Path]) -> dict[str, list[str]]:
    """Process name → argv."""
    return {
        "etcd": [str(tools["etcd"]), *_etcd(lab, ports)],
        "kube-apiserver": [str(tools["kube-apiserver"]), *_apiserver(lab, ports)],
        "kube-controller-manager": [str(tools["kube-controller-manager"]), *_controller_manager(lab)],
        "kube-scheduler": [str(tools["kube-scheduler"]), *_scheduler(lab)],
        "kwok": [str(tools["kwok"]), *_kwok(lab, ports)],
    }


def _etcd(lab: Lab, ports: Mapping[str, int]) -> list[str]:
    client, peer = (f"http://127.0.0.1:{ports[port]}" for port in ("etcd", "etcd-peer"))
    return [
        f"--data-dir={lab.cluster / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--auto-compaction-retention=1h",
    ]


def _apiserver(lab: Lab, ports: Mapping[str, int]) -> list[str]:
    keys = lab.pki
    return [
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={ports['kube-apiserver']}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--service-account-key-file={keys / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        "--feature-gates=WatchList=false",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'lab-housekeeping.crt'}",
        f"--kubelet-client-key={keys / 'lab-housekeeping.key'}",
        "--profiling=false",
        f"--audit-policy-file={lab.cluster / 'audit-policy.yml'}",
        f"--audit-log-path={lab.audit_log}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=1",
    ]


def _controller_manager(lab: Lab) -> list[str]:
    return [
        f"--kubeconfig={lab.cluster / 'lab-controllers.kubeconfig'}",
        "--secure-port=0",
        "--leader-elect=false",
        "--profiling=false",
        f"--service-account-private-key-file={lab.pki / 'service-accounts.key'}",
        f"--root-ca-file={lab.pki / 'ca.crt'}",
        f"--node-monitor-grace-period={3 * _LEASE_S}s",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]


def _scheduler(lab: Lab) -> list[str]:
    return [
        f"--kubeconfig={lab.cluster / 'lab-scheduler.kubeconfig'}",
        "--secure-port=0",
        "--leader-elect=false",
        "--profiling=false",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]


def _kwok(lab: Lab, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--server-address=127.0.0.1:{ports['kwok']}",
        f"--node-port={ports['kwok']}",
        f"--tls-cert-file={lab.pki / 'kubelet.crt'}",
        f"--tls-private-key-file={lab.pki / 'kubelet.key'}",
        f"--config={lab.cluster / 'kwok-logs.yml'}",
        f"--kubeconfig={lab.cluster / 'lab-kwok.kubeconfig'}",
        f"--config={HERE / 'cluster' / 'kwok.yml'}",
        "--manage-all-nodes=true",
        f"--node-lease-duration-seconds={_LEASE_S}",
        "--cidr=10.244.0.0/16",
    ]
