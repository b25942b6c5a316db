"""Which kernel boots next: GRUB's menu as update-grub writes it (grub2 10_linux and 00_header), with what may stand in grubenv."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._linux import boot

OLD, NEW = "5.15.0-9-generic", "5.15.0-106-generic"
CFG = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Ubuntu' --class ubuntu --class gnu-linux $menuentry_id_option 'gnulinux-simple-u' {
	recordfail
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-NEW root=UUID=u ro
	initrd	/boot/initrd.img-NEW
}
submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-u' {
	menuentry 'Ubuntu, with Linux NEW' --class os $menuentry_id_option 'gnulinux-NEW-advanced-u' {
		linux	/vmlinuz-NEW root=UUID=u ro
	}
	menuentry 'Ubuntu, with Linux OLD' --class os $menuentry_id_option 'gnulinux-OLD-advanced-u' {
		linux	/vmlinuz-OLD root=UUID=u ro
	}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
"""


def host(root: Path, default: str = "0", environment: str = "", cmdline: str = "BOOT_IMAGE=/boot/vmlinuz ro") -> Path:
    text = CFG.replace("DEFAULT", default).replace("NEW", NEW).replace("OLD", OLD)
    files = {
        "boot/grub/grub.cfg": text,
        "boot/grub/grubenv": f"# GRUB Environment Block\n{environment}#####",
        "proc/cmdline": f"{cmdline}\n",
        **{f"boot/vmlinuz-{release}": "" for release in (OLD, NEW)},
        **{f"lib/modules/{release}/modules.dep": "" for release in (OLD, NEW)},
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("default", "environment", "release"),
    [
        ("0", "", NEW),
        ("", "", NEW),
        ("1>1", "", OLD),
        ("gnulinux-advanced-u>gnulinux-5.15.0-9-generic-advanced-u", "", OLD),
        ("Advanced options for Ubuntu>Ubuntu, with Linux 5.15.0-9-generic", "", OLD),
        ("a title that is gone", "", NEW),
        ("9", "", NEW),
        ("${saved_entry}", "", NEW),
        ("${saved_entry}", f"saved_entry=gnulinux-advanced-u>gnulinux-{OLD}-advanced-u\n", OLD),
        ("0", "saved_entry=1>1\n", NEW),  # not asked for
        ("0", "next_entry=1>1\n", OLD),
        ("1>1", "next_entry=0\n", NEW),
        ("1>1", "next_entry=\n", OLD),
    ],
)
def test_grub_tells(tmp_path: Path, default: str, environment: str, release: str) -> None:
    found = boot.next_kernel(NEW, str(host(tmp_path, default, environment)))
    assert found == boot.NextKernel(release, "/boot/grub/grub.cfg")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"default": "1"}, "default '1' is no entry"),  # a submenu
        ({"default": "uefi-firmware"}, "is no entry that names a kernel"),
        ({"cmdline": "ro console=ttyS0"}, "GRUB did not start this machine"),
        ({"missing": "boot/grub/grub.cfg"}, "there is no /boot/grub/grub.cfg"),
        ({"missing": f"boot/vmlinuz-{NEW}"}, f"names {NEW}, which is not in /boot"),
    ],
)
def test_unsure_is_said_with_the_newest_kernel(tmp_path: Path, change: dict[str, str], why: str) -> None:
    missing = change.pop("missing", "")
    root = host(tmp_path, **change)
    if missing:
        (root / missing).unlink()
    found = boot.next_kernel("6.1.0-1-of-the-host", str(root))
    assert found.release == (OLD if "vmlinuz" in missing else NEW)  # by number: 9 is older than 106
    assert found.unsure is not None and why in found.unsure


def test_a_container_has_the_kernel_of_its_host(tmp_path: Path) -> None:
    found = boot.next_kernel("6.1.0-1-of-the-host", str(tmp_path))
    assert (found.release, bool(found.unsure)) == ("6.1.0-1-of-the-host", True)


@pytest.mark.parametrize(
    ("file", "index", "found"),
    [
        ("updates/dkms/nvidia.ko.zst", "updates/dkms/nvidia.ko.zst: kernel/drivers/x.ko\n", True),
        ("updates/dkms/nvidia.ko.xz", "", True),  # depmod has not run yet
        ("kernel/nvidia-535srv/nvidia.ko", "kernel/nvidia-535srv/nvidia.ko:\n", True),
        ("elsewhere/deep/nvidia.ko", "elsewhere/deep/nvidia.ko:\n", True),
        ("", "updates/dkms/nvidia.ko:\n", False),  # the file is gone
        ("updates/dkms/nvidia-drm.ko", "updates/dkms/nvidia-drm.ko:\n", False),
        ("", "", False),
    ],
)
def test_module_file(tmp_path: Path, file: str, index: str, found: bool) -> None:
    folder = tmp_path / "lib/modules/6.1"
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(index)
    if file:
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text("")
    name = re.compile(r"nvidia\.ko(\.\w+)?")
    assert boot.module_file("6.1", name, str(tmp_path)) == (folder / file if found else None)
