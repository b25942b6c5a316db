"""The module: set, check, again, refuse, on roots made from captures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.modules import modprobe_gsp

FILE = "etc/modprobe.d/nvidia-gsp.conf"
LINE = "options nvidia NVreg_EnableGpuFirmware=0\n"
ADDRESS = "0000:00:06.0"


class LeftError(Exception):
    """What the module would have printed."""


class Host:
    """A root whose /proc and /sys start from the H200 capture; ``a40`` makes it the guide's host."""

    def __init__(self, root: Path, capture: Path) -> None:
        self.root = root
        self.capture = capture
        self.answers: dict[str, str] = {"nvidia-smi": (capture / "nvidia-smi-q.xml").read_text()}
        self.gpu("2335")
        for name in ("version", "params"):
            self.write(f"proc/driver/nvidia/{name}", (capture / f"proc-driver-nvidia-{name}.txt").read_text())
        information = (capture / "proc-driver-nvidia-gpu-information.txt").read_text()
        self.write(f"proc/driver/nvidia/gpus/{ADDRESS}/information", information)

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def gpu(self, device_id: str) -> None:
        folder = f"sys/bus/pci/devices/{ADDRESS}"
        for name, value in {"vendor": "0x10de", "device": f"0x{device_id}", "class": "0x030200"}.items():
            self.write(f"{folder}/{name}", f"{value}\n")

    def a40(self, version: str = "525.60.13", gsp: bool = True) -> None:
        self.gpu("2235")
        self.answers.pop("nvidia-smi", None)
        self.write(
            "proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Wed 2023\n"
        )
        firmware = f"GPU Firmware: \t {version}\n" if gsp else ""
        information = f"Model: \t NVIDIA A40\nGPU UUID: \t GPU-1\n{firmware}"
        self.write(f"proc/driver/nvidia/gpus/{ADDRESS}/information", information)

    def run(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        text = self.answers.get(argv[0])
        return Result(tuple(argv), NOT_FOUND if text is None else 0, text or "", "")

    @property
    def text(self) -> str | None:
        path = self.root / FILE
        return path.read_text() if path.exists() else None


warnings: list[str] = []


@pytest.fixture
def host(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, fixtures / "h200-sxm-580-open")

    def leave(module: AnsibleModule, **result: Any) -> None:
        raise LeftError(result)

    monkeypatch.setattr(modprobe_gsp, "ROOT", str(tmp_path))
    monkeypatch.setattr(modprobe_gsp, "runner", lambda module: made.run)
    monkeypatch.setattr(AnsibleModule, "exit_json", leave)
    monkeypatch.setattr(AnsibleModule, "fail_json", lambda module, msg, **rest: leave(module, msg=msg, failed=True))
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: warnings.append(text))
    warnings.clear()
    return made


def call(check: bool = False, **params: Any) -> dict[str, Any]:
    with patch_module_args({"_ansible_check_mode": check, **params}), pytest.raises(LeftError) as left:
        modprobe_gsp.main()
    return dict(left.value.args[0])


def test_set_check_again(host: Host) -> None:
    host.a40()
    checked = call(check=True, mode="disabled")
    assert checked["changed"] and host.text is None
    done = call(mode="disabled")
    assert done == checked
    assert host.text is not None and host.text.endswith(LINE)
    assert (host.root / FILE).stat().st_mode & 0o777 == 0o644
    assert done["initramfs_needed"] and done["reboot_needed"] and done["running_gsp"] is True
    assert done["diff"]["after"] == host.text
    again = call(mode="disabled")
    assert not again["changed"] and not again["initramfs_needed"]
    assert again["reboot_needed"], "the loaded driver still runs with GSP"
    host.a40(gsp=False)
    booted = call(mode="disabled")
    assert not booted["changed"] and not booted["reboot_needed"] and booted["effective"] is True


def test_the_guides_file_is_enough(host: Host) -> None:
    host.a40(gsp=False)
    host.write(FILE, LINE)
    done = call(mode="disabled")
    assert not done["changed"] and not done["reboot_needed"] and host.text == LINE


def test_auto(host: Host) -> None:
    host.a40()
    assert call()["action"] == "write"
    host.a40("535.183.01", gsp=False)
    kept = call()
    assert not kept["changed"] and kept["value"] == "0" and "keeps" in kept["reason"]
    removed = call(mig_wanted=True)
    assert removed["changed"] and removed["action"] == "remove" and host.text is None and removed["reboot_needed"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "open kernel modules"),
        ({"kernel_modules": "proprietary"}, "Hopper"),
        ({"kernel_modules": "proprietary", "architecture": ["Ampere"], "mig_wanted": True}, "MIG"),
        ({"kernel_modules": "proprietary", "architecture": ["Ampere"], "vgpu_wanted": True}, "vGPU"),
        ({"path": "/tmp/x.conf"}, "modprobe reads no other"),
        ({"path": "/etc/modprobe.d/x"}, "modprobe reads no other"),
        ({"driver_version": "newest"}, "driver version"),
    ],
)
def test_refuse(host: Host, params: dict[str, Any], says: str) -> None:
    done = call(mode="disabled", **params)
    assert done["failed"] and says in done["msg"] and host.text is None


def test_refusal_names_the_file_to_fix(host: Host) -> None:
    host.a40()
    host.write("lib/modprobe.d/zz.conf", f"# x\n{LINE.replace('=0', '=1')}")
    done = call(mode="disabled")
    assert done["failed"] and "/lib/modprobe.d/zz.conf:2" in done["msg"] and host.text is None
    assert call(mode="disabled", path="/etc/modprobe.d/zzz.conf")["changed"]


def test_open_modules_under_auto(host: Host) -> None:
    done = call()
    assert not done["changed"] and done["running_gsp"] is True and "open kernel modules" in done["reason"]


def test_debians_name(host: Host) -> None:
    host.a40()
    host.write("etc/modprobe.d/nvidia.conf", "install nvidia modprobe -i nvidia-current $CMDLINE_OPTS\n")
    done = call(mode="disabled")
    assert done["module_name"] == "nvidia-current"
    assert host.text is not None and "options nvidia-current NVreg_EnableGpuFirmware=0\n" in host.text


def test_the_module_on_disk_counts_for_the_next_boot(host: Host) -> None:
    host.a40("470.256.02", gsp=False)
    assert call(mode="disabled")["action"] == "none"
    host.answers["modinfo"] = "license:        NVIDIA\nversion:        535.183.01\n"
    assert call(mode="disabled")["action"] == "write"
    host.answers["modinfo"] = "license:        Dual MIT/GPL\nversion:        535.183.01\n"
    assert "open kernel modules" in call(mode="disabled")["msg"]


def test_before_any_driver(host: Host) -> None:
    for path in sorted((host.root / "proc").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert "no driver" in call(mode="disabled", architecture=["Ampere"])["msg"]
    done = call(mode="disabled", architecture=["Ampere"], driver_version="535.183.01", kernel_modules="proprietary")
    assert done["changed"] and not done["reboot_needed"] and "first load" in done["reboot_reason"]


def test_an_option_without_effect_is_a_warning_and_no_reboot(host: Host) -> None:
    host.a40()
    host.write(FILE, LINE)
    host.write("proc/driver/nvidia/params", "EnableGpuFirmware: 0\n")
    done = call(mode="disabled")
    assert done["effective"] is False and not done["reboot_needed"] and len(warnings) == 1


def test_the_name_of_0_1_0_is_still_understood(host: Host) -> None:
    assert "open kernel modules" in call(mode="disabled", architecture=["Ampere"], flavour="open")["msg"]
