# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take names and passwords out of apt's addresses, into the file that apt has for them. Pure but for ``hide``.

An address is shown everywhere: in a source that everybody may read, in arguments, in apt's own messages. apt_auth.conf(5) is the file
for what nobody else should see. What it does not say was tried with apt 2.6: the first entry whose text begins the address
counts, whatever follows, so the longest stand first and each ends with a slash; for plain http an entry counts only with its
protocol; a name without a password is an entry without the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_ADDRESS = re.compile(r"(?P<scheme>[^:/\s]+://)(?P<login>[^/\s]*)@(?P<place>\S*)")


def shown(text: str) -> str:
    """Return a text for people: without the name and password of any address in it, and without apt's entries for them."""
    plain = re.sub(r"(?<=://)[^/\s]*@", "", text)
    return re.sub(r"(?m)^(machine \S+) login .*$", r"\1 login (not shown)", plain)


def has_login(address: str) -> bool:
    return shown(address) != address


def entries(addresses: Iterable[str]) -> str:
    """Return the text of a file in ``/etc/apt/auth.conf.d`` for those of the addresses that have a login; empty if none has."""
    found = {_entry(match) for match in map(_ADDRESS.fullmatch, addresses) if match}
    return "".join(f"{entry}\n" for entry in sorted(found, key=lambda entry: (-len(entry.split()[1]), entry)))


def _entry(match: re.Match[str]) -> str:
    where = match["scheme"] + match["place"].rstrip("/") + "/"
    name, colon, password = (unquote(part) for part in match["login"].partition(":"))
    words = [name, *([password] if colon else [])]
    if any(not word.isprintable() or word.split() != [word] for word in words):
        raise GpuError(
            "a name and a password without white space",
            "one with, or an empty one",
            where,
            "apt's auth.conf cannot say them",
        )
    return f"machine {where} login {' password '.join(words)}"


def hide(module: AnsibleModule, addresses: Iterable[str]) -> None:
    """Make a module leave out the logins of its addresses, wherever in its output; the parameters that hold them are ``no_log``.

    Ansible would leave out the whole of each address, and a plan that does not say where packages come from says little.
    """
    given = set(addresses)
    module.no_log_values.difference_update(given)
    found = (_ADDRESS.fullmatch(address) for address in given)
    module.no_log_values.update(f"{match['login']}@" for match in found if match)
