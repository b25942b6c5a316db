#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_hold
short_description: Hold or release packages by name or glob in one dpkg transaction
version_added: 0.1.0
author: t9k.gpu maintainers (@t9k)
description:
  - Sets packages on hold, so that no upgrade moves them, or releases them again.
  - All packages are written in one transaction of dpkg, whatever their number; nothing is written where nothing
    changes. A package that is new to dpkg is first made known to it, as C(apt-mark) does.
  - Unlike M(ansible.builtin.dpkg_selections) it takes many packages and globs, shows a diff, treats an unknown package
    as an error, and waits for dpkg's lock.
options:
  name:
    description:
      - Names or globs (V(nvidia-*), V(libnvidia-*:amd64)), with an architecture after a colon where only that one is
        meant.
      - A glob is matched against what is installed (and what is held already) and must match something.
      - A name may be that of a package that is not installed yet, if dpkg or apt knows it. A name that neither knows is
        an error.
      - Required unless O(nvidia=true).
    type: list
    elements: str
    default: []
    aliases: [names, package, packages]
  nvidia:
    description:
      - Adds the whole installed NVIDIA driver to O(name), computed from what is installed, libraries and firmware
        included. Where kernel modules are pre-built for one kernel, that kernel and its metapackages belong to the set.
      - The container toolkit (C(nvidia-container-*), C(libnvidia-container*)) and the CUDA toolkit are released apart
        from the driver and do not belong to the set; name them in O(name) to hold them too.
      - With O(state=held) at least one such package must be installed.
    type: bool
    default: false
  kernels:
    description: With O(nvidia=true), hold the running kernel and its metapackages also where dkms builds the modules.
    type: bool
    default: false
    version_added: 0.2.0
  state:
    description:
      - V(held) sets the packages on hold, V(unheld) releases them.
      - Releasing goes back to V(install) for an installed package; a hold on a package that is not there is forgotten.
    type: str
    choices: [held, unheld]
    default: held
  exclusive:
    description:
      - With O(state=held), releases every other held package of the NVIDIA driver, so that the held driver packages are
        exactly those given. Packages that do not belong to the driver, kernels included, are left alone.
    type: bool
    default: false
  record:
    description:
      - A file that remembers which packages beside the driver's, such as the kernel of pre-built modules, are held by this module and
        not by somebody else, one name a line. Those that O(state=held) puts on hold are written there first, so that an interrupted
        run loses none; O(state=unheld) leaves the names that are still held, and no empty file.
    type: path
    version_added: 0.2.0
  lock_timeout:
    description: For how many seconds to wait for dpkg's lock before giving up and saying who holds it.
    type: int
    default: 60
  kernel_release:
    description: The kernel that O(nvidia=true) takes as the running one. By default what C(uname -r) says.
    type: str
  root:
    description: The system to work on, such as the folder of an image that is being built.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and says what it would change, without writing or taking the lock.
    support: full
  diff_mode:
    description: Shows the selection of every package that changes.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Hold the driver with everything that belongs to it, and no other driver package
  t9k.gpu.apt_hold:
    nvidia: true
    exclusive: true

- name: Hold by name and glob
  t9k.gpu.apt_hold:
    name:
      - nvidia-driver-525-server
      - libnvidia-*:amd64
      - linux-image-5.4.0-155-generic

- name: Release the driver before an upgrade
  t9k.gpu.apt_hold:
    nvidia: true
    state: unheld
"""

RETURN = r"""
packages:
  description: Every package in question, changed or not.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name without architecture.
      type: str
      sample: nvidia-driver-525-server
    architecture:
      description: Architecture.
      type: str
      sample: amd64
    version:
      description: Version, null for a package that is not installed.
      type: str
      sample: 525.125.06-0ubuntu0.20.04.2
    installed:
      description: Whether it is installed and configured.
      type: bool
    selection_before:
      description: dpkg's selection before. V(unknown) for a package that dpkg had no entry for.
      type: str
      sample: install
    selection_after:
      description: dpkg's selection after, in check mode the one it would have.
      type: str
      sample: hold
held:
  description: The packages in question that are on hold afterwards, as C(name:architecture).
  returned: success
  type: list
  elements: str
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian import hold as debian_hold
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package, read_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import hold_set
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file, read_text, under

if TYPE_CHECKING:
    from typing import Any


def patterns(params: dict[str, Any], packages: tuple[Package, ...]) -> list[str]:
    """What was named, with the installed driver where it was asked for."""
    release = params["kernel_release"] or os.uname().release
    driver = list(hold_set(packages, release, params["kernels"])) if params["nvidia"] else []
    if params["nvidia"] and params["state"] == "unheld":
        driver += [p.label for p in packages if p.held and names.is_driver(p.name)]
    if params["nvidia"] and params["state"] == "held" and not driver:
        raise GpuError("the installed NVIDIA driver", "no package of it", "dpkg's status file", "install it first")
    return list(dict.fromkeys([*params["name"], *driver]))


def bring(module: AnsibleModule, run: Run) -> tuple[debian_hold.Selection, ...]:
    """Plan, and unless in check mode write and read back. The record has a hold before dpkg has it, and until dpkg has it no more."""
    params, root = module.params, module.params["root"]
    packages = read_status(root)
    wanted = patterns(params, packages)
    known = debian_hold.lookup(run, debian_hold.unknown_names(wanted, packages), root)
    selections = debian_hold.plan(
        wanted, packages, params["state"], names.is_driver if params["exclusive"] else None, known
    )
    if not module.check_mode and any(selection.changed for selection in selections):
        taken = [
            s.name for s in selections if s.changed and s.selection_after == "hold" and not names.is_driver(s.name)
        ]
        remember(module, taken, {*taken, *(p.name for p in packages if p.held)})
        debian_hold.apply(run, selections, known, root, params["lock_timeout"])
        packages = read_status(root)
        debian_hold.verify(selections, packages)
        remember(module, [], {p.name for p in packages if p.held})
    return selections


def remember(module: AnsibleModule, taken: Iterable[str], held: set[str]) -> None:
    """Bring the record to the names that it has and ``taken``, as far as they are ``held``."""
    if module.params["record"] is None:
        return
    path = under(module.params["root"], module.params["record"])
    ours = [name for name in dict.fromkeys([*(read_text(path) or "").split(), *taken]) if name in held]
    apply_file(module, str(path), "".join(f"{name}\n" for name in ours) or None)


def held(selections: tuple[debian_hold.Selection, ...]) -> list[str]:
    return [selection.label for selection in selections if selection.selection_after == "hold"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {
                "type": "list",
                "elements": "str",
                "default": [],
                "aliases": ["names", "package", "packages"],
            },
            "nvidia": {"type": "bool", "default": False},
            "kernels": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["held", "unheld"], "default": "held"},
            "exclusive": {"type": "bool", "default": False},
            "record": {"type": "path"},
            "lock_timeout": {"type": "int", "default": 60},
            "kernel_release": {"type": "str"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    if not module.params["name"] and not module.params["nvidia"]:
        module.fail_json(msg="Wanted: packages. Found: neither name nor nvidia (the task). Next: give one of them.")
    if module.params["exclusive"] and module.params["state"] == "unheld":
        module.fail_json(msg="Wanted: exclusive. Found: state=unheld (the task). Next: use exclusive with state=held.")
    try:
        selections = bring(module, runner(module))
    except GpuError as error:
        module.fail_json(msg=str(error))
    change = Change("dpkg selections", *debian_hold.as_diff(selections))
    module.exit_json(
        changed=change.changed,
        diff=change.diff,
        packages=[s.to_dict() for s in selections],
        held=held(selections),
    )


if __name__ == "__main__":
    main()
