# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what is wrong with the role's variables: all of it, before anything is read from a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, TypeVar

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import values as operator_values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.helm import is_remote, local_chart_version
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents

Made = TypeVar("Made")
_MONITOR_BY = ("none", "role", "chart")


class Faults:
    """Collects what each part of the variables has to complain about."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def attempt(self, make: Callable[[], Made], otherwise: Made) -> Made:
        """Return what ``make`` returns; note its fault and return ``otherwise`` if it has one."""
        try:
            return make()
        except GpuError as error:
            self.found.append(str(error))
            return otherwise

    def add(self, wanted: str, found: str, where: str, next_step: str) -> None:
        """Note one fault."""
        self.found.append(str(GpuError(wanted, found, where, next_step)))


def check_nodes(
    sharing: Mapping[str, str], mig: Mapping[str, str], documents: Mapping[str, Any], faults: Faults
) -> None:
    """Check that each host's sharing and MIG configs exist and fit together."""
    for fault in sharing_documents.assignment_faults(sharing, mig, documents):
        step = "correct gpu_sharing or gpu_mig of the host, or gpu_operator_sharing"
        faults.add("hosts whose sharing and MIG configs exist and fit", fault, "the inventory", step)


def check_chart(params: Mapping[str, Any], faults: Faults) -> None:
    """Check that a local chart is there and has the version that is asked for."""
    chart = params["chart"]
    if params["state"] != "present" or is_remote(chart):
        return
    if not Path(chart).exists():
        faults.add(
            "the GPU operator's chart",
            "no such file or folder on the control host",
            chart,
            "correct gpu_operator_chart: oci://…, https://…, a folder or a .tgz",
        )
        return
    found = faults.attempt(lambda: local_chart_version(chart), "")
    if found and operator_values.plain(found) != operator_values.plain(params["version"]):
        faults.add(
            f"GPU operator chart {params['version']}",
            f"chart {found}",
            chart,
            "correct gpu_operator_version or gpu_operator_chart",
        )


def check_monitor(params: Mapping[str, Any], values: Mapping[str, Any], faults: Faults) -> None:
    """Check that dcgm-exporter gets one ServiceMonitor at most."""
    by = params["service_monitor"]["by"]
    if by not in _MONITOR_BY:
        faults.add(f"one of {', '.join(_MONITOR_BY)}", repr(by), "gpu_operator_service_monitor.by", "correct it")
    charts = ((values.get("dcgmExporter") or {}).get("serviceMonitor") or {}).get("enabled")
    if by == "role" and charts:
        faults.add(
            "one ServiceMonitor for dcgm-exporter",
            "two: the role's and the chart's; every metric would be scraped twice",
            "gpu_operator_values.dcgmExporter.serviceMonitor.enabled",
            "set gpu_operator_service_monitor.by to chart or none, or drop the value",
        )


def check_shape(params: Mapping[str, Any], values: Mapping[str, Any], faults: Faults) -> None:
    """Check that what is asked for exists in the shape that the values give the installation.

    The chart itself refuses both custom resources at once, and a GPUCluster whose drivers are the operator's but no NVIDIADriver's
    (NVIDIA/gpu-operator v26.7.0, templates/validations.yaml); it does so when helm runs, which is late.
    """
    dra = operator_values.uses_gpu_cluster(values)
    driver = values.get("driver") or {}
    if dra and (values.get("clusterPolicy") or {}).get("deployCR", True):
        _refuse(faults, "one of GPUCluster and ClusterPolicy", "both", "clusterPolicy.deployCR: false")
    if dra and driver.get("enabled") and not (driver.get("nvidiaDriverCRD") or {}).get("enabled"):
        step = "driver.nvidiaDriverCRD.enabled: true"
        _refuse(faults, "driver containers beside a GPUCluster", "drivers that no NVIDIADriver asks for", step)
    plugin = (values.get("devicePlugin") or {}).get("enabled", True)
    if params["sharing"] and (dra or not plugin):
        found = "no device plugin (gpuCluster.deployCR)" if dra else "devicePlugin.enabled: false"
        faults.add(
            "a device plugin that shares the GPUs",
            found,
            "gpu_operator_values",
            "leave gpu_operator_sharing empty: the DRA driver shares by claims",
        )
    if dra and any(params["node_mig"].values()):
        step = "leave gpu_mig to clusters with a ClusterPolicy"
        faults.add("a MIG manager for gpu_mig", "none (gpuCluster.deployCR)", "gpu_operator_values", step)


def _refuse(faults: Faults, wanted: str, found: str, value: str) -> None:
    faults.add(wanted, found, "gpu_operator_values", f"set {value}")
