#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nvidia_boot_check
short_description: Refuse a reboot into a kernel without the NVIDIA driver
version_added: 0.2.0
description:
  - Finds the kernel that boots next, and whether it has the driver's module, of the wanted version and built for it, and under
    Secure Boot signed by a key that the kernel accepts.
  - GRUB's C(grub.cfg) and C(grubenv) say which kernel that is. Where they do not (another boot loader, a container), the
    newest installed kernel is looked at, RV(sure) is false, and what it lacks is a warning instead of a failure.
  - Changes nothing.
author:
  - t9k.gpu maintainers (@t9k)
options:
  driver_version:
    description: The upstream version that the module must have.
    type: str
    required: true
attributes:
  check_mode:
    description: Reads only, in every mode.
    support: full
  diff_mode:
    description: Nothing changes, so there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: The kernel that boots next has the driver
  t9k.gpu.nvidia_boot_check:
    driver_version: 535.247.01
"""

RETURN = r"""
kernel:
  description: The kernel that boots next, or the newest one that is installed where that is not known.
  type: str
  returned: always
  sample: 6.8.0-139-generic
sure:
  description: Whether GRUB's files say so.
  type: bool
  returned: always
driver_module:
  description: The driver's module of that kernel; null if it has none.
  type: dict
  returned: always
  contains:
    path:
      description: Where it is.
      type: str
    version:
      description: Its version; null if C(modinfo) cannot tell.
      type: str
    kernel:
      description: The kernel that it is built for (the first word of C(vermagic)); null if C(modinfo) cannot tell.
      type: str
    signer:
      description: Who signed it; null if nobody did, or if C(modinfo) cannot tell.
      type: str
warnings_found:
  description: What could not be told, and what is wrong where RV(sure) is false.
  type: list
  elements: str
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian import os_release
from ansible_collections.t9k.gpu.plugins.module_utils._driver import next_boot
from ansible_collections.t9k.gpu.plugins.module_utils._linux import boot, secure_boot

#: The system that is looked at; tests have another.
ROOT = "/"


def main() -> None:
    module = AnsibleModule(
        argument_spec={"driver_version": {"type": "str", "required": True}}, supports_check_mode=True
    )
    kernel = boot.next_kernel(os.uname().release, ROOT)
    found = next_boot.module(runner(module), kernel.release, ROOT)
    secured = secure_boot.read(os_release.read_os_release(ROOT).get("ID", ""), ROOT)
    fault = next_boot.judge(kernel, found, module.params["driver_version"], secured)
    notes = next_boot.unknown(kernel, found)
    answer = {
        "kernel": kernel.release,
        "sure": kernel.unsure is None,
        "driver_module": found and found.to_dict(),
        "warnings_found": notes,
    }
    if fault and kernel.unsure is None:
        module.fail_json(msg=str(fault), **answer)
    module.exit_json(changed=False, **{**answer, "warnings_found": [*notes, *([str(fault)] if fault else [])]})


if __name__ == "__main__":
    main()
