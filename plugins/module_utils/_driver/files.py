# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say where the small files are that the driver role keeps on a node, and what they say. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import entries
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import POCKETS, Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import DEFAULT_PATH
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import BLACKLIST_PATH
from ansible_collections.t9k.gpu.plugins.module_utils._linux.systemd_unit import DEFAULT_DROP_IN

HEADER = "# Kept by the Ansible collection t9k.gpu, role driver: changes made here are undone.\n"

PREFERENCES = "/etc/apt/preferences.d/t9k-gpu-driver"
UNATTENDED = "/etc/apt/apt.conf.d/52t9k-gpu-driver"
SOURCES = "/etc/apt/sources.list.d/t9k-gpu-driver.sources"
#: The same by pocket of the release, since a file of deb822_repository has one entry and pockets may lie on several mirrors.
SOURCES_OF = {pocket: SOURCES.replace(".sources", f"{pocket}.sources") for pocket in POCKETS}
#: Names and passwords of their addresses, for apt alone.
LOGINS = "/etc/apt/auth.conf.d/t9k-gpu-driver.conf"
#: Where ``deb822_repository`` leaves a key that was given by address.
KEYRINGS = ("/etc/apt/keyrings/t9k-gpu-driver.asc", "/etc/apt/keyrings/t9k-gpu-driver.gpg")
#: Written before a node is drained, taken away after it is let in again: what an interrupted run must still give back.
CORDON_MARK = "/var/lib/t9k-gpu/cordoned"
#: Driver version and boot id of the last reboot that this collection asked for.
REBOOT_MARK = "/var/lib/t9k-gpu/rebooted"
#: The kernels and their metapackages that a run of ours put on hold, one name a line: an administrator's own holds are not in it.
HELD_KERNELS = "/var/lib/t9k-gpu/held-kernels"
#: What the GPUs were before a change; there until a proof holds.
BEFORE = "/var/lib/t9k-gpu/before.json"
#: The packages that a change replaces, with their record; there until its proof holds.
FORMER = "/var/lib/t9k-gpu/former"
FORMER_RECORD = f"{FORMER}/set.json"
PERSISTENCE = f"/etc/systemd/system/nvidia-persistenced.service.d/{DEFAULT_DROP_IN}"
#: What removing the driver takes away with it.
OURS = (
    BLACKLIST_PATH,
    DEFAULT_PATH,
    PREFERENCES,
    UNATTENDED,
    *SOURCES_OF.values(),
    LOGINS,
    *KEYRINGS,
    PERSISTENCE,
    REBOOT_MARK,
    HELD_KERNELS,
    FORMER,
)


def preferences(driver_version: str) -> str:
    """Return an apt pin of the driver's family to one upstream version, above every archive's own priority.

    Packages of other projects that share the prefix (the container toolkit) have no version of this form, so the pin
    leaves them alone. The version is an expression: a glob with a star at both ends matches nothing, since apt takes the
    last one for a prefix match and the first one literally.
    """
    driver = " ".join(names.GLOBS)
    version = driver_version.replace(".", r"\.")
    return f"{HEADER}Package: {driver}\nPin: version /^([0-9]+:)?{version}-/\nPin-Priority: 1001\n"


def unattended() -> str:
    """Keep unattended-upgrades off the driver: python regular expressions, matched from the start of a name.

    Whole names: what else has the prefixes (the container toolkit, DGX OS's tools) must not wait for the driver.
    """
    lines = "".join(f'    "(?:{pattern})$";\n' for pattern in names.PATTERNS)
    return f"{HEADER.replace('#', '//', 1)}Unattended-Upgrade::Package-Blacklist {{\n{lines}}};\n"


def lacking(files: Mapping[str, str | None], sources: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the sources that do not stand in their files, as they must be written there."""
    plain = {path: entry.plain() for path, entry in sources.items()}
    return {path: entry for path, entry in plain.items() if not entry.stands_in(files[path])}


def logins(sources: Mapping[str, Entry]) -> str | None:
    """Return what ``LOGINS`` must say for the sources; None if no address has a name or password."""
    return entries(uri for entry in sources.values() for uri in entry.uris) or None
