"""Pods on one node, as a Deployment makes them; kwok plays the kubelet that runs them."""

from __future__ import annotations

import json


def deployment(node: str, replicas: int) -> str:
    """The manifest, for ``kubectl apply --filename -``."""
    template = {
        "metadata": {"labels": {"app": "worker"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "worker"}],
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "worker"}}, "template": template}
    metadata = {"name": "worker", "namespace": "default"}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
