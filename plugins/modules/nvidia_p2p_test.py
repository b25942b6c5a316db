#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module C(t9k.gpu.nvidia_p2p_test)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_p2p_test
author: t9k.gpu maintainers (@t9k)
version_added: 0.1.0
short_description: Measure and judge the traffic between the GPUs of a host
description:
  - Runs C(p2pBandwidthLatencyTest) of NVIDIA's CUDA samples, or C(nvbandwidth), and reads every matrix it prints.
  - Judges the measurements by thresholds for the GPU model and by the machine's own topology. Pairs of GPUs that
    C(nvidia-smi topo -m) shows as connected in the same way are each other's yardstick.
  - Builds the test from source when no built program is given, and keeps it for the next run by CUDA version,
    GPU architecture and source.
  - Looks at the IOMMU and at PCIe ACS, which can slow peer-to-peer traffic down. It never changes them.
options:
  tool:
    description: The test to run. Nvbandwidth measures bandwidth only.
    type: str
    choices: [p2p_bandwidth_latency_test, nvbandwidth]
    default: p2p_bandwidth_latency_test
  binary:
    description: A built program to run. Nothing is built then.
    type: path
  source:
    description:
      - The folder with the test's source. For the samples their root (with C(Common) and C(Samples)), or the test's own
        folder.
      - The default is where Debian's package C(nvidia-cuda-samples) puts them.
    type: path
    default: /usr/share/doc/nvidia-cuda-toolkit/examples
  cache_dir:
    description: Where built programs are kept.
    type: path
    default: /var/cache/t9k-gpu
  nvcc:
    description: The CUDA compiler. The default is C(nvcc) on the path, then C(/usr/local/cuda/bin/nvcc).
    type: path
  cuda_architectures:
    description: The compute capabilities to build for, such as V(90). The default is what C(nvidia-smi) reports.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that the build, and then the test, may take.
    type: int
    default: 600
  force:
    description: Run the test although processes use the GPUs or MIG is on. The measurements then mean little.
    type: bool
    default: false
  thresholds:
    description: Limits by GPU model. The first entry that fits a GPU's name and the path between two GPUs counts.
    type: list
    elements: dict
    default: []
    suboptions:
      product_name:
        description: A part of the GPU's name, such as V(H200).
        type: str
        required: true
      path:
        description: The paths this entry is for. The default is every path.
        type: str
        choices: [nvlink, pcie]
      unidirectional_gb_per_s:
        description: The least one-way bandwidth with peer access.
        type: float
      bidirectional_gb_per_s:
        description: The least two-way bandwidth with peer access.
        type: float
      gpu_latency_us:
        description: The largest latency with peer access.
        type: float
  require_peer_access:
    description: Missing peer access fails the verdict also between GPUs that no NVLink joins.
    type: bool
    default: false
  fail_on:
    description: The least verdict that fails the task.
    type: str
    choices: [fail, warn, never]
    default: fail
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
notes:
  - In check mode the test does not run; the result tells whether a program would be built.
  - The GPUs are numbered as C(nvidia-smi) numbers them.
"""

EXAMPLES = r"""
- name: Test with what Debian ships
  t9k.gpu.nvidia_p2p_test:
  register: peers

- name: Test an H200 machine with a program that is already there, and only report
  t9k.gpu.nvidia_p2p_test:
    binary: /opt/p2pBandwidthLatencyTest
    fail_on: never
    thresholds:
      - product_name: H200
        path: nvlink
        unidirectional_gb_per_s: 350
        bidirectional_gb_per_s: 700

- name: Build nvbandwidth and run it
  t9k.gpu.nvidia_p2p_test:
    tool: nvbandwidth
    source: /usr/local/src/nvbandwidth
"""

RETURN = r"""
p2p:
  description: The measurements and what they are worth.
  returned: always, unless the test could not be run
  type: dict
  contains:
    verdict:
      description: V(ok), V(warn) or V(fail); V(not_run) in check mode.
      type: str
      returned: always
      sample: warn
    note:
      description: The verdict in a few words.
      type: str
      returned: always
      sample: 8 GPUs, 56 directed pairs, 1 finding
    reasons:
      description: What is wrong. Each has C(rule), C(severity) (V(warn) or V(fail)) and C(message), and where it is
        about two GPUs C(pair), C(matrix), C(measured) and C(expected).
      type: list
      elements: dict
      returned: always
    cautions:
      description: What on this host can slow peer-to-peer traffic down (IOMMU, ACS), or could not be found out.
      type: list
      elements: str
      returned: when the test ran
    tool:
      description: The test that ran.
      type: str
      returned: when the test ran
    program:
      description: The program that ran.
      type: str
      returned: always
    gpu_count:
      description: How many GPUs were tested.
      type: int
      returned: when the test ran
    devices:
      description: The GPUs as the test named them.
      type: list
      elements: dict
      returned: when the test ran
    matrices:
      description:
        - Square matrices, row by row; a row is a source GPU, a column a target GPU. What was not measured is null.
        - The names are C(connectivity), C(unidirectional_p2p_disabled_gb_per_s),
          C(unidirectional_p2p_enabled_gb_per_s), C(bidirectional_p2p_disabled_gb_per_s),
          C(bidirectional_p2p_enabled_gb_per_s), C(gpu_latency_p2p_disabled_us),
          C(cpu_latency_p2p_disabled_us), C(gpu_latency_p2p_enabled_us) and C(cpu_latency_p2p_enabled_us).
      type: dict
      returned: when the test ran
      sample:
        unidirectional_p2p_enabled_gb_per_s: [[1536.38, 20.56], [24.18, 1550.1]]
    errors:
      description: What CUDA or the system complained about.
      type: list
      elements: str
      returned: when the test ran
    missing:
      description: Matrices that the output lacks wholly or in part.
      type: list
      elements: str
      returned: when the test ran
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import topology as nvidia_topology
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import build as p2p_build
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import host as p2p_host
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import nvbandwidth as p2p_nvbandwidth
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p_samples
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.evidence import Evidence, Threshold
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.judge import judge

THRESHOLDS = {
    "product_name": {"type": "str", "required": True},
    "path": {"type": "str", "choices": ["nvlink", "pcie"]},
    "unidirectional_gb_per_s": {"type": "float"},
    "bidirectional_gb_per_s": {"type": "float"},
    "gpu_latency_us": {"type": "float"},
}
SPEC: dict[str, Any] = {
    "tool": {
        "type": "str",
        "choices": ["p2p_bandwidth_latency_test", "nvbandwidth"],
        "default": "p2p_bandwidth_latency_test",
    },
    "binary": {"type": "path"},
    "source": {"type": "path", "default": "/usr/share/doc/nvidia-cuda-toolkit/examples"},
    "cache_dir": {"type": "path", "default": "/var/cache/t9k-gpu"},
    "nvcc": {"type": "path"},
    "cuda_architectures": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 600},
    "force": {"type": "bool", "default": False},
    "thresholds": {"type": "list", "elements": "dict", "default": [], "options": THRESHOLDS},
    "require_peer_access": {"type": "bool", "default": False},
    "fail_on": {"type": "str", "choices": ["fail", "warn", "never"], "default": "fail"},
}
FAILING = {"fail": ("fail",), "warn": ("fail", "warn"), "never": ()}


def program(params: dict[str, Any], run: Run, check_mode: bool) -> tuple[str, bool]:
    """Find the program to run, and whether it was (or in check mode: would be) built for it."""
    if params["binary"]:
        if not Path(params["binary"]).is_file() and not check_mode:
            raise GpuError(
                "the built test", "no such file", params["binary"], "correct binary, or leave it out to build"
            )
        return params["binary"], False
    source = p2p_build.find_source(params["tool"], params["source"])
    nvcc, version = p2p_build.find_nvcc(run, params["nvcc"])
    architectures = p2p_build.cuda_architectures(run, params["cuda_architectures"])
    target = p2p_build.cached(source, version, architectures, params["cache_dir"])
    if target.is_file():
        return str(target), False
    if not check_mode:
        p2p_build.build(run, source, nvcc, architectures, target, params["timeout"])
    return str(target), True


def idle_gpus(run: Run, force: bool) -> tuple[Any, ...]:
    """Return the GPUs, which must be idle and whole unless the user says otherwise."""
    report = nvidia_smi.query(run, 60)
    if report.status != "ok":
        raise GpuError(
            "working GPUs to test", f"{report.status}: {report.message}", "nvidia-smi", "repair the driver first"
        )
    busy = [f"GPU {gpu.index}: {gpu.process_count} processes" for gpu in report.gpus if gpu.process_count]
    busy += [f"GPU {gpu.index}: in MIG mode" for gpu in report.gpus if gpu.mig_mode_current]
    if busy and not force:
        advice = "drain the node (and switch MIG off), or set force: true to disturb and be disturbed"
        raise GpuError("idle, undivided GPUs to test", "; ".join(busy), "nvidia-smi", advice)
    return report.gpus


def measure(params: dict[str, Any], run: Run, binary: str, gpus: tuple[Any, ...]) -> p2p_samples.Report:
    """Run the test once and read it. CUDA's numbers are made to follow the bus, as nvidia-smi's do."""
    nvbandwidth = params["tool"] == p2p_build.NVBANDWIDTH
    arguments = p2p_nvbandwidth.ARGUMENTS if nvbandwidth else ()
    result = run(["env", "CUDA_DEVICE_ORDER=PCI_BUS_ID", binary, *arguments], timeout_s=params["timeout"])
    if nvbandwidth:
        report = p2p_nvbandwidth.parse(result.stdout).to_report()
        listed = tuple(p2p_samples.Device(gpu.index, gpu.product_name or "", gpu.pci_address or "") for gpu in gpus)
        report = replace(report, devices=report.devices or listed)
    else:
        report = p2p_samples.parse(f"{result.stdout}\n{result.stderr}")
    if result.timed_out:
        return replace(report, errors=(*report.errors, f"no end within {params['timeout']} s"))
    if not result.ok and not report.errors:
        said = (result.stderr or result.stdout).strip().splitlines()[-1:]
        return replace(report, errors=(f"exit status {result.rc}: {' '.join(said) or 'no word'}",))
    return report


def links(run: Run, gpus: tuple[Any, ...]) -> tuple[tuple[tuple[str, ...], ...], list[str]]:
    """Return the matrix of links, and why it is not known."""
    if len(gpus) < 2:
        return (), []
    try:
        return nvidia_topology.query(run).links, []
    except GpuError as error:
        return (), [f"The topology is not known, so all pairs are compared with all. {error}"]


def test(params: dict[str, Any], run: Run, binary: str) -> dict[str, Any]:
    """Measure, judge, and say what on the host is in the way."""
    gpus = idle_gpus(run, params["force"])
    report = measure(params, run, binary, gpus)
    matrix, unknown = links(run, gpus)
    thresholds = tuple(Threshold(**threshold) for threshold in params["thresholds"])
    verdict = judge(Evidence(report, matrix, thresholds, params["require_peer_access"], len(gpus)))
    found = unknown
    if len(gpus) > 1:
        found = unknown + p2p_host.cautions(gpu.pci_address or "" for gpu in gpus)
    return {
        **report.to_dict(),
        **verdict.to_dict(),
        "cautions": found,
        "tool": params["tool"],
        "program": binary,
        "gpu_count": len(gpus),
    }


def prediction(params: dict[str, Any], run: Run) -> dict[str, Any]:
    """Predict for check mode. Sources and compiler may be what an earlier task would have installed."""
    told = {"verdict": "not_run", "note": "check mode: the test does not run", "reasons": [], "program": ""}
    try:
        binary, built = program(params, run, check_mode=True)
    except GpuError as error:
        return {"changed": True, "p2p": {**told, "note": f"{told['note']}; nothing to build it with yet: {error}"}}
    return {"changed": built, "p2p": {**told, "program": binary}}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    run = runner(module)
    if module.check_mode:
        module.exit_json(**prediction(module.params, run))
    try:
        binary, built = program(module.params, run, check_mode=False)
        p2p = test(module.params, run, binary)
    except GpuError as error:
        module.fail_json(msg=str(error))
    for caution in p2p["cautions"]:
        module.warn(caution)
    if p2p["verdict"] in FAILING[module.params["fail_on"]]:
        reasons = "; ".join(reason["message"] for reason in p2p["reasons"][:5])
        module.fail_json(msg=f"Peer-to-peer test: {p2p['verdict']} ({p2p['note']}): {reasons}", changed=built, p2p=p2p)
    module.exit_json(changed=built, p2p=p2p)


if __name__ == "__main__":
    main()
