#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch GSP firmware of NVIDIA GPUs through modprobe's configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: modprobe_gsp
short_description: Switch the GSP firmware of NVIDIA GPUs on or off
version_added: 0.1.0
description:
  - Writes C(options <module> NVreg_EnableGpuFirmware=0) or C(=1) under the name that the kernel module really has on
    the host (C(nvidia-current) with Debian's packages, C(nvidia) elsewhere), and nothing else. Other lines of the
    file stay.
  - Says whether the initramfs must be rebuilt and whether a boot is needed, and why; it does neither.
  - Judges what runs by what the driver does (the C(GPU Firmware) line of each GPU below C(/proc/driver/nvidia) and
    C(nvidia-smi)), never by C(/proc/driver/nvidia/params) alone, since open kernel modules show the option there and
    ignore it.
  - Refuses to disable GSP with open kernel modules, on Hopper and newer and on GPUs that it does not know, and where
    MIG or vGPU is wanted or on.
  - Does nothing for drivers older than 510, for GPUs older than Turing, and on hosts without an NVIDIA GPU.
author:
  - t9k.gpu maintainers (@t9k)
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns the file before and after.
    support: full
options:
  mode:
    description:
      - V(disabled) switches GSP off, V(enabled) switches it on.
      - V(auto) never refuses. It disables GSP with proprietary modules on Turing, Ampere and Ada for drivers from 510
        up to, but not including, 525.105.17, whose release notes name the fix for C(Timeout waiting for RPC from GSP)
        (Xid 119).
      - With later drivers V(auto) keeps a choice that the file already states, since reports of Xid 119 go on and
        somebody who switched GSP off had a reason; where no choice is stated the driver's default stays.
      - Where GSP must be on (open modules, Hopper and newer, MIG, vGPU), V(auto) removes a C(=0) from the file.
    type: str
    choices: [auto, disabled, enabled]
    default: auto
  mig_wanted:
    description: Whether MIG is to be used on this host.
    type: bool
    default: false
  vgpu_wanted:
    description: Whether vGPU is to be used on this host.
    type: bool
    default: false
  path:
    description:
      - The file to write, in C(/etc/modprobe.d).
      - modprobe reads all its files in the order of their names and the last value wins. A line in a file that is
        read later and says otherwise is an error that names it.
    type: path
    default: /etc/modprobe.d/nvidia-gsp.conf
  driver_version:
    description:
      - Version of the driver that the next boot loads. By default it is read from the module on disk, then from the
        loaded one.
    type: str
  kernel_modules:
    description:
      - Kernel modules that the next boot loads. By default read like O(driver_version).
      - The alias is the option's name in 0.1.0; elsewhere in this collection a flavour is V(server) or V(desktop).
    type: str
    choices: [open, proprietary]
    aliases: [flavour]
  architecture:
    description:
      - Architectures of the GPUs, such as V(Ampere), for devices whose PCI id is not known. By default found from PCI
        ids.
    type: list
    elements: str
  module_name:
    description:
      - The kernel module's real name. By default found from modprobe's C(install) lines, the installed modules, the
        distribution.
    type: str
  smi_timeout:
    description: Seconds to wait for C(nvidia-smi).
    type: int
    default: 30
seealso:
  - module: t9k.gpu.systemd_unit_patch
notes:
  - To rebuild the initramfs use C(update-initramfs -u) when RV(initramfs_needed) is true.
"""

EXAMPLES = r"""
- name: Leave GSP to what is known of this driver
  t9k.gpu.modprobe_gsp:
  register: gsp

- name: Switch GSP off
  t9k.gpu.modprobe_gsp:
    mode: disabled

- name: Rebuild the initramfs
  ansible.builtin.command:
    cmd: update-initramfs -u
  when: gsp.initramfs_needed
  changed_when: true
"""

RETURN = r"""
action:
  description: What was done, or would be in check mode.
  type: str
  returned: success
  sample: write
value:
  description: The value that the file gives, null where it gives none.
  type: str
  returned: success
  sample: "0"
reason:
  description: Why.
  type: str
  returned: success
  sample: driver 525.60.13 is older than 525.105.17, which fixed GSP timeouts (Xid 119)
module_name:
  description: The kernel module's name in the file.
  type: str
  returned: success
  sample: nvidia-current
file:
  description: The file.
  type: str
  returned: success
  sample: /etc/modprobe.d/nvidia-gsp.conf
running_gsp:
  description: Whether the loaded driver runs with GSP firmware; null where that cannot be known.
  type: bool
  returned: success
  sample: true
effective:
  description: Whether the loaded driver does what is wanted; null where that cannot be known or nothing is wanted.
  type: bool
  returned: success
  sample: false
contradictions:
  description: Lines elsewhere that give the option another value.
  type: list
  elements: dict
  returned: success
  sample:
    - {module: nvidia, option: NVreg_EnableGpuFirmware, value: "1", path: /lib/modprobe.d/zz.conf, line: 3}
initramfs_needed:
  description: Whether the initramfs must be rebuilt to hold the file.
  type: bool
  returned: success
  sample: true
reboot_needed:
  description: Whether a boot is needed for the file to count.
  type: bool
  returned: success
  sample: true
reboot_reason:
  description: Why a boot is needed, or why it would not help.
  type: str
  returned: success
  sample: the loaded driver runs with GSP on until the next boot
"""

import os
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian.os_release import read_os_release
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file, read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import (
    DEFAULT_PATH,
    OPTION,
    GspFacts,
    Host,
    collect,
    parse_modinfo,
)
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.verdict import Verdict, contradictions, decide
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe as linux_modprobe
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import proc as nvidia_proc
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions

ROOT = "/"


def check_parameters(params: dict[str, Any]) -> None:
    """Faults of the task itself, before anything is read."""
    folder, name = os.path.split(params["path"])
    if folder != linux_modprobe.DIRECTORIES[0] or not name.endswith(".conf"):
        raise GpuError(
            f"a file named *.conf in {linux_modprobe.DIRECTORIES[0]}", params["path"], "path", "modprobe reads no other"
        )
    if params["driver_version"] is not None and not versions.key(params["driver_version"]):
        raise GpuError("a driver version such as 535.183.01", params["driver_version"], "driver_version", "correct it")


def read_facts(params: dict[str, Any], run: Run) -> GspFacts:
    """The host's facts with what the user states over them."""
    kernel = nvidia_proc.read(ROOT)
    report = nvidia_smi.query(run, params["smi_timeout"]) if kernel.loaded else None
    config = linux_modprobe.load(ROOT)
    host = Host(read_os_release(ROOT).get("ID", ""), os.uname().release, ROOT)
    facts = collect(pci.scan(ROOT), kernel, report, config, host, params["path"])
    name = params["module_name"] or facts.module_name
    on_disk = run(["modinfo", name])
    version, kernel_modules = parse_modinfo(on_disk.stdout) if on_disk.ok else (None, None)
    return replace(
        facts,
        driver_version=params["driver_version"] or version or facts.driver_version,
        kernel_modules=params["kernel_modules"] or kernel_modules or facts.kernel_modules,
        architectures=tuple(params["architecture"] or facts.architectures),
        mig=params["mig_wanted"] or facts.mig,
        vgpu=params["vgpu_wanted"] or facts.vgpu,
        module_name=name,
        settings=config.settings((name, "nvidia"), OPTION),
    )


def apply(module: AnsibleModule, verdict: Verdict, facts: GspFacts) -> Change:
    """Bring the file to what the verdict says."""
    path = str(under(ROOT, facts.path))
    text = read_text(path)
    names = (facts.module_name, "nvidia")
    if verdict.action == "write" and verdict.value is not None:
        return apply_file(module, path, linux_modprobe.with_option(text, names, OPTION, verdict.value))
    if verdict.action == "remove":
        return apply_file(module, path, linux_modprobe.without_option(text, names, OPTION))
    return Change(path, text, text)


def result(verdict: Verdict, facts: GspFacts, change: Change) -> dict[str, Any]:
    fields = (
        "action",
        "value",
        "reason",
        "module_name",
        "effective",
        "initramfs_needed",
        "reboot_needed",
        "reboot_reason",
    )
    return {
        **{name: getattr(verdict, name) for name in fields},
        "changed": change.changed,
        "diff": change.diff,
        "file": facts.path,
        "running_gsp": facts.running_gsp,
        "contradictions": [setting.to_dict() for setting in contradictions(facts, verdict.value)],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "mode": {"type": "str", "choices": ["auto", "disabled", "enabled"], "default": "auto"},
            "mig_wanted": {"type": "bool", "default": False},
            "vgpu_wanted": {"type": "bool", "default": False},
            "path": {"type": "path", "default": DEFAULT_PATH},
            "driver_version": {"type": "str"},
            "kernel_modules": {"type": "str", "choices": ["open", "proprietary"], "aliases": ["flavour"]},
            "architecture": {"type": "list", "elements": "str"},
            "module_name": {"type": "str"},
            "smi_timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        check_parameters(module.params)
        facts = read_facts(module.params, runner(module))
        verdict = decide(module.params["mode"], facts)
        verdict.raise_if_refused()
        change = apply(module, verdict, facts)
    except GpuError as error:
        module.fail_json(msg=str(error))
    if verdict.effective is False and not verdict.reboot_needed:
        module.warn(f"GSP is not as wanted: {verdict.reboot_reason}")
    module.exit_json(**result(verdict, facts, change))


if __name__ == "__main__":
    main()
