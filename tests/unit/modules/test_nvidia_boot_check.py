"""The module on made-up hosts: which kernel boots next is GRUB's word, what the module is modinfo's."""

from __future__ import annotations

import json
import struct
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
        ({NEW: f"{VERSION} {NEW}", OLD: f"{VERSION} {OLD}"}, True, False, ""),
        ({NEW: f"{VERSION} {NEW}"}, True, False, f"kernel that boots next, {OLD} (if it is booted). Found: no module"),
        ({NEW: f"{VERSION} {NEW}", OLD: f"525.147.05 {OLD}"}, True, False, "Found: its module is of 525.147.05"),
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


FIXTURES = Path(__file__).parents[1] / "fixtures/secure-boot"
SIGNED = (FIXTURES / "modinfo.txt").read_text().replace("535.1", VERSION).replace("6.1.0-30-amd64", NEW)
UNSIGNED = SIGNED.partition("sig_id")[0]
X509 = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")


@pytest.mark.parametrize(
    ("secured", "enrolled", "text", "failed", "says"),
    [
        (True, "owner", SIGNED, False, ""),
        (True, "other", SIGNED, True, "Found: it is signed by DKMS module signing key with key 78:96:65:57:"),
        (
            True,
            "owner",
            UNSIGNED,
            True,
            f"a module that kernel {NEW} takes, since Secure Boot is on. Found: it is not signed",
        ),
        (True, "", SIGNED, False, "cannot be told"),
        (False, "other", SIGNED, False, ""),
        (False, "", UNSIGNED, False, ""),
    ],
)
def test_a_kernel_takes_what_an_enrolled_key_signed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secured: bool,
    enrolled: str,
    text: str,
    failed: bool,
    says: str,
) -> None:
    host(tmp_path, {NEW: "there", OLD: "there"}, grub=True)
    efi = tmp_path / "sys/firmware/efi"
    for folder in ("efivars", "mok-variables"):
        (efi / folder).mkdir(parents=True)
    (efi / "efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(bytes([6, 0, 0, 0, secured]))
    if enrolled:
        key = (FIXTURES / f"{enrolled}.der").read_bytes()
        sizes = struct.pack("<III", 44 + len(key), 0, 16 + len(key))
        (efi / "mok-variables/MokListRT").write_bytes(X509 + sizes + bytes(16) + key)

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        return Result(tuple(argv), 0, text if NEW in argv[1] else text.replace(NEW, OLD), "")

    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "runner", lambda _module: run)
    with patch_module_args({"driver_version": VERSION}), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    said = [answer.get("msg", ""), *answer["warnings_found"]]
    assert (answer.get("failed", False), says in " ".join(said), any(said)) == (failed, True, bool(says))
