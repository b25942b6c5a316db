#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_login
short_description: Give apt the names and passwords of repositories
version_added: 0.2.0
author: t9k.gpu maintainers (@t9k)
description:
  - Writes a file of C(/etc/apt/auth.conf.d) with the mode 0600, so that the addresses in apt's sources need no name and no password, and
    neither apt's messages nor the arguments of programs show them.
  - Nothing that the module returns or logs has a name or a password in it, nor has its diff, whatever the verbosity.
options:
  path:
    description: The file. It belongs to the module.
    type: path
    required: true
  addresses:
    description: The addresses that want a name and a password, without them.
    type: list
    elements: str
    required: true
  logins:
    description:
      - The same addresses with them, as in C(https://name:password@mirror.internal/ubuntu). Others are left aside.
      - What is not among these is taken from the host's own sources of apt.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says whether the file would change.
    support: full
  diff_mode:
    description: Shows the addresses, and neither names nor passwords.
    support: full
"""

EXAMPLES = r"""
- name: Let apt in at the mirror
  t9k.gpu.apt_login:
    path: /etc/apt/auth.conf.d/mirror.conf
    addresses: [https://mirror.internal/ubuntu]
    logins: ["https://gpu:{{ mirror_password }}@mirror.internal/ubuntu"]
"""

RETURN = r"""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._debian import login, sources
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "logins": {"type": "list", "elements": "str", "default": [], "no_log": True},
}
#: Where the host's own sources are; tests have another place.
ROOT = "/"


def known(given: list[str]) -> dict[str, str]:
    """Return every address with a login by the same without one; what was given wins."""
    there = [uri for entry in sources.read(ROOT, leave_out=()) for uri in entry.uris]
    return {login.shown(uri): uri for uri in (*there, *given) if login.has_login(uri)}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path, wanted, found = module.params["path"], module.params["addresses"], known(module.params["logins"])
    login.hide(module, [*module.params["logins"], *found.values()])
    try:
        lacking = [address for address in wanted if address not in found]
        if lacking:
            step = "give each in logins as https://name:password@host/path"
            raise GpuError("a name and a password for each address", "none", ", ".join(lacking), step)
        change = apply_file(module, path, login.entries(found[address] for address in wanted), 0o600)
    except GpuError as error:
        module.fail_json(msg=str(error))
    sides = (None if text is None else login.shown(text) for text in (change.before, change.after))
    module.exit_json(changed=change.changed, diff=Change(path, *sides).diff)


if __name__ == "__main__":
    main()
