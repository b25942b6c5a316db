"""The module on made-up hosts: which kernel boots next is GRUB's word, what the module is modinfo's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.modules import nvidia_boot_check as module

VERSION = "535.247.01"
OLD, NEW = "6.1.0-30-amd64", "6.1.0-31-amd64"
#: As kmod 30's modinfo prints them.
MODINFO = "filename:       {path}\nversion:        {version}\nlicense:        NVIDIA\nvermagic:       {kernel} SMP preempt mod_unload \n"
CFG = f"set default=\"0\"\nmenuentry 'Debian' {{\n\tlinux\t/boot/vmlinuz-{NEW} ro\n}}\n"


def host(root: Path, modules: dict[str, str], grub: bool) -> None:
    if modules.pop("secure", None):
        efi = root / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        efi.parent.mkdir(parents=True)
        efi.write_bytes(b"\x06\0\0\0\x01")
    files = {f"boot/vmlinuz-{release}": "" for release in (OLD, NEW)}
    files.update({f"lib/modules/{release}/modules.dep": "" for release in (OLD, NEW)})
    files.update(
        {f"lib/modules/{release}/updates/dkms/nvidia-current.ko.xz": text for release, text in modules.items()}
    )
    if grub:
        files.update({"boot/grub/grub.cfg": CFG, "proc/cmdline": f"BOOT_IMAGE=/boot/vmlinuz-{OLD} ro\n"})
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def modinfo(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    """The made-up module's text is its version and kernel; an empty one cannot be read."""
    words = Path(argv[1]).read_text().split()
    if argv[0] != "modinfo" or not words:
        return Result(tuple(argv), NOT_FOUND, "", "")
    return Result(tuple(argv), 0, MODINFO.format(path=argv[1], version=words[0], kernel=words[1]), "")


@pytest.mark.parametrize(
    ("modules", "grub", "failed", "says"),
    [
        ({NEW: f"{VERSION} {NEW}", "secure": "boot"}, True, True, "Found: its module is not signed"),
        ({NEW: f"{VERSION} {NEW}"}, True, False, ""),
        (
            {OLD: f"{VERSION} {OLD}"},
            True,
            True,
            f"boots next, {NEW} (/boot/grub/grub.cfg). Found: no module of the driver",
        ),
        ({NEW: f"525.147.05 {NEW}"}, True, True, "Found: its module is of 525.147.05"),
        ({NEW: f"{VERSION} {OLD}"}, True, True, f"Found: its module is built for {OLD}"),
        ({NEW: ""}, True, False, "modinfo cannot tell the version of"),
        ({NEW: f"{VERSION} {NEW}"}, False, False, "not sure: there is no /boot/grub/grub.cfg"),
        ({OLD: f"{VERSION} {OLD}"}, False, False, "Found: no module of the driver"),
    ],
)
def test_what_boots_next(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    modules: dict[str, str],
    grub: bool,
    failed: bool,
    says: str,
) -> None:
    host(tmp_path, modules, grub)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "runner", lambda _module: modinfo)
    with patch_module_args({"driver_version": VERSION}), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (answer.get("failed", False), answer["kernel"], answer["sure"]) == (failed, NEW, grub)
    assert says in " ".join([answer.get("msg", ""), *answer["warnings_found"]])
    assert bool(says) == bool([*answer["warnings_found"], *([answer["msg"]] if failed else [])])
