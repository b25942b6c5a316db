# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which system this is, from its os-release file."""

from __future__ import annotations

import shlex

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under


def read_os_release(root: str = "/") -> dict[str, str]:
    """Return its fields: ID, VERSION_ID, VERSION_CODENAME and so on; empty where there is no such file."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = read_text(under(root, path))
        if text is not None:
            return parse_os_release(text)
    return {}


def parse_os_release(text: str) -> dict[str, str]:
    """Parse lines ``NAME=value`` with the quoting of a shell."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): "".join(shlex.split(value, comments=True)) for name, _equals, value in pairs}
