#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_keep
short_description: Keep the .deb files of installed packages on the host
version_added: 0.2.0
author: t9k.gpu maintainers (@t9k)
description:
  - Brings the .deb file of each package into a folder, from apt's cache or from the archive, so that this very version can be
    installed again without a network, and when the archive has it no more.
  - A file counts only if its checksum is the one in the archive's index, or, where the archive does not have the version any more, if
    what is in it is what dpkg unpacked.
  - The folder belongs to the module and has the mode 0700. Whatever else is in it is removed, so it never holds more than one set.
  - An incomplete set is of no use. If a package cannot be had the folder is emptied.
options:
  name:
    description: The packages, each as C(name:architecture=version).
    type: list
    elements: str
    required: true
  path:
    description: The folder.
    type: path
    required: true
  about:
    description: What is written beside the files as C(set.json), together with the key C(files), once all of them are there.
    type: dict
    default: {}
  required:
    description: Whether it is a failure that a package cannot be had.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says which files are not in the folder, and fetches none.
    support: full
  diff_mode:
    description: Shows the files that come and go.
    support: full
"""

EXAMPLES = r"""
- name: Keep the driver that is to be replaced
  t9k.gpu.apt_keep:
    name: ["nvidia-smi:amd64=535.247.01-1~deb12u1"]
    path: /var/lib/t9k-gpu/former
"""

RETURN = r"""
missing:
  description: The packages that could not be had.
  type: list
  elements: str
  returned: success
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian import keep
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file

RECORD = "set.json"
ARGUMENTS: dict[str, Any] = {
    "name": {"type": "list", "elements": "str", "required": True},
    "path": {"type": "path", "required": True},
    "about": {"type": "dict", "default": {}},
    "required": {"type": "bool", "default": False},
}


def packages(specs: list[str]) -> list[keep.File]:
    found = [(spec, keep.File.of(spec)) for spec in specs]
    strange = [spec for spec, wanted in found if wanted is None]
    if strange:
        raise GpuError("packages as name:architecture=version", ", ".join(strange), "name", "give all three of each")
    return [wanted for _spec, wanted in found if wanted is not None]


def bring(module: AnsibleModule, run: Run, wanted: list[keep.File]) -> tuple[str, ...]:
    """Fill the folder, and empty it of everything else; return what could not be had."""
    place = Path(module.params["path"])
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    (place / RECORD).unlink(missing_ok=True)  # until the set is whole it is none
    _came, lost = keep.gather(run, wanted, str(place))
    files = {each.spec: each.file for each in wanted}
    for entry in place.iterdir():
        if lost or entry.name not in files.values():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if not lost:
        text = json.dumps({**module.params["about"], "files": files}, indent=1, sort_keys=True)
        apply_file(module, str(place / RECORD), f"{text}\n", 0o600)
    return lost


def listed(path: str) -> list[str]:
    place = Path(path)
    return sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    run, path = runner(module), module.params["path"]
    before = listed(path)
    try:
        wanted = packages(module.params["name"])
        lost = keep.missing(run, wanted, (path, keep.CACHE)) if module.check_mode else bring(module, run, wanted)
    except GpuError as error:
        module.fail_json(msg=str(error))
    if lost and module.params["required"]:
        found = f"neither in {keep.CACHE} nor on offer: {', '.join(lost)}"
        step = "see apt-cache policy for the versions that the archive has, or add a source that still has these"
        module.fail_json(msg=str(GpuError("the files of installed packages, to go back to", found, path, step)))
    expected = sorted([*(each.file for each in wanted), RECORD]) if not lost else []
    after = expected if module.check_mode else listed(path)
    change = Change(path, "".join(f"{name}\n" for name in before), "".join(f"{name}\n" for name in after))
    module.exit_json(changed=change.changed, diff=change.diff, missing=list(lost))


if __name__ == "__main__":
    main()
