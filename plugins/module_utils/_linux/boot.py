# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which kernel boots next, from GRUB's own files.

``/boot/grub/grub.cfg`` is what GRUB reads; ``/etc/default/grub`` is only what it was made from, once. GRUB's manual has the rules
("Simple configuration", "The GRUB environment block", "default"): ``next_entry`` is for one boot, then ``set default`` decides,
which may be ``saved_entry``; an entry is a number, a title or an id, below a submenu with ``>``; what is not found is entry 0.
GRUB tells the kernel ``BOOT_IMAGE=``: without it another loader started this machine, and its files are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

GRUB_CFG = "/boot/grub/grub.cfg"
GRUB_ENV = "/boot/grub/grubenv"
_ENTRY = re.compile(r"""^\s*(menuentry|submenu)\s+(?:'([^']*)'|"([^"]*)")(.*)\{\s*$""")
_ID = re.compile(r"""(?:\$menuentry_id_option|--id[= ])\s*['"]?([^'"\s{]+)""")
_KERNEL = re.compile(r"^\s*linux(?:efi|16)?\s+\S*vmlinu[xz]-(\S+)")
_DEFAULT = re.compile(r"""^\s*set default=(?:"([^"]*)"|'([^']*)'|(\S*))\s*$""", re.MULTILINE)
_NUMBERS = re.compile(r"\d+")


@dataclass
class Entry:
    """One line of the menu; a submenu has ``entries``."""

    title: str
    id: str = ""
    submenu: bool = False
    kernel: str | None = None
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class NextKernel:
    """``unsure`` says why this is only a guess; None: it is what GRUB will boot."""

    release: str
    where: str
    unsure: str | None = None


def next_kernel(running: str, root: str = "/") -> NextKernel:
    """Return the kernel that boots next; where GRUB does not tell, the newest that is installed, or the running one."""
    release, why = _of_grub(root)
    if release is not None and under(root, f"/boot/vmlinuz-{release}").exists():
        return NextKernel(release, GRUB_CFG)
    newest = next(iter(installed(root)), running)
    return NextKernel(newest, "/boot", why or f"{GRUB_CFG} names {release}, which is not in /boot")


def installed(root: str = "/") -> tuple[str, ...]:
    """Return the releases of the kernels that have an image and a folder of modules, the newest first."""
    names = [path.name[len("vmlinuz-") :] for path in under(root, "/boot").glob("vmlinuz-*")]
    there = [name for name in names if under(root, f"/lib/modules/{name}").is_dir()]
    return tuple(sorted(there, key=_by_number, reverse=True))


def module_file(release: str, name: re.Pattern[str], root: str = "/") -> Path | None:
    """Return where a kernel has the module: by depmod's index, or where dkms and packages put it if that is not made yet.

    ``name``: matches the whole name of the file, ``.ko.zst`` and ``.ko.xz`` included.
    """
    folder = under(root, f"/lib/modules/{release}")
    lines = (read_text(folder / "modules.dep") or "").splitlines()
    indexed = [folder / line.partition(":")[0] for line in lines]
    usual = [
        path for place in ("updates/dkms", "updates", "kernel/*", "extra") for path in folder.glob(f"{place}/*.ko*")
    ]
    return next((path for path in [*indexed, *usual] if name.fullmatch(path.name) and path.exists()), None)


def _by_number(release: str) -> tuple[list[int], str]:
    return [int(number) for number in _NUMBERS.findall(release)], release


def _of_grub(root: str) -> tuple[str | None, str | None]:
    """Return the kernel that GRUB will boot, or why it cannot be told."""
    text = read_text(under(root, GRUB_CFG))
    if text is None:
        return None, f"there is no {GRUB_CFG}"
    if "BOOT_IMAGE=" not in (read_text(under(root, "/proc/cmdline")) or ""):
        return None, "GRUB did not start this machine (/proc/cmdline has no BOOT_IMAGE=)"
    default = _default(text, read_text(under(root, GRUB_ENV)) or "")
    entry = find(menu(text), default)
    if entry is None or entry.kernel is None:
        return None, f"GRUB's default {default!r} is no entry that names a kernel ({GRUB_CFG})"
    return entry.kernel, None


def _default(text: str, environment: str) -> str:
    """Return which entry is to be booted."""
    variables = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line and line[0] != "#")
    values = ["".join(forms) for forms in _DEFAULT.findall(text)]
    once = variables.get("next_entry") if any("next_entry" in value for value in values) else None
    lasting = next((value for value in reversed(values) if "next_entry" not in value), "0")
    if "saved_entry" in lasting:
        lasting = variables.get("saved_entry", "")
    return once or lasting or "0"


def menu(text: str) -> list[Entry]:
    """Return the entries of ``grub.cfg``, those of submenus below them."""
    top = Entry("", submenu=True)
    stack = [top]
    for line in text.splitlines():
        found, kernel = _ENTRY.match(line), _KERNEL.match(line)
        if found:
            identity = _ID.search(found[4])
            title = found[2] if found[2] is not None else found[3]
            entry = Entry(title, identity[1] if identity else "", found[1] == "submenu")
            stack[-1].entries.append(entry)
            stack.append(entry)
        elif line.rstrip().endswith("{"):  # a function
            stack.append(Entry(""))
        elif line.strip() == "}" and len(stack) > 1:
            stack.pop()
        elif kernel and stack[-1].kernel is None:
            stack[-1].kernel = kernel[1]
    return top.entries


def find(entries: Sequence[Entry], wanted: str) -> Entry | None:
    """Return the entry that GRUB takes; None for a submenu without a word on which of its entries."""
    step, _above, below = wanted.partition(">")
    if step.isdigit():
        fitting = entries[int(step) : int(step) + 1]
    else:
        fitting = [entry for entry in entries if step in (entry.title, entry.id)]
    entry = next(iter([*fitting, *entries]), None)
    if entry is not None and entry.submenu:
        return find(entry.entries, below) if below else None
    return entry
