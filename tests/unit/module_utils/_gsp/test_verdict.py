"""The decision on GSP firmware, as tables, and the facts it rests on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import (
    DEFAULT_PATH,
    OPTION,
    GspFacts,
    Host,
    collect,
    initramfs_older,
    parse_modinfo,
    real_module_name,
    running_gsp,
)
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.verdict import Verdict, beats, contradictions, decide
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import (
    Config,
    Setting,
    parse,
    with_option,
    without_option,
)
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import GpuInformation, KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import parse as parse_smi


def at(value: str, path: str = DEFAULT_PATH, module: str = "nvidia") -> Setting:
    return Setting(module, OPTION, value, path, 1)


#: The guide's host: A40, 525.60.13, proprietary, GSP running.
HOST = GspFacts("525.60.13", "proprietary", ("Ampere",), loaded=True, running_gsp=True, params_value="18")
OFF = {"running_gsp": False, "params_value": "0"}
OWN_0 = {"settings": (at("0"),)}
OWN_1 = {"settings": (at("1"),)}
LATER_1 = (at("1", "/lib/modprobe.d/zz.conf"),)
EARLIER_1 = (at("1", "/etc/modprobe.d/aa.conf"),)
BARE: dict[str, Any] = {
    "driver_version": None,
    "kernel_modules": None,
    "loaded": False,
    "running_gsp": None,
    "params_value": None,
}


# wanted, what differs from HOST, action, value, initramfs, reboot, effective
TABLE: list[tuple[str, dict[str, Any], str, str | None, bool, bool, bool | None]] = [
    # disabled, allowed
    ("disabled", {}, "write", "0", True, True, False),
    ("disabled", {**OWN_0, **OFF}, "none", "0", False, False, True),
    ("disabled", OWN_0, "none", "0", False, True, False),  # written, not booted yet
    ("disabled", {**OWN_0, "initramfs_older": True}, "none", "0", True, True, False),
    ("disabled", {**OWN_0, "params_value": "0"}, "none", "0", False, False, False),  # a boot would not help
    ("disabled", OFF, "write", "0", True, False, True),
    ("disabled", OWN_1, "write", "0", True, True, False),
    ("disabled", {"driver_version": "535.183.01"}, "write", "0", True, True, False),
    (
        "disabled",
        {"driver_version": "580.159.04", "architectures": ("Turing", "Ada Lovelace")},
        "write",
        "0",
        True,
        True,
        False,
    ),
    ("disabled", {"architectures": ("Volta", "Ampere")}, "write", "0", True, True, False),
    ("disabled", {"running_gsp": None}, "write", "0", True, True, None),
    ("disabled", {"running_gsp": None, **OWN_0}, "none", "0", False, False, None),
    ("disabled", {"loaded": False, "running_gsp": None}, "write", "0", True, False, None),
    ("disabled", {"module_name": "nvidia-current"}, "write", "0", True, True, False),
    ("disabled", {"module_name": "nvidia-current", **OWN_0}, "write", "0", True, True, False),
    (
        "disabled",
        {"module_name": "nvidia-current", "settings": (at("0", module="nvidia-current"),)},
        "none",
        "0",
        False,
        True,
        False,
    ),
    ("disabled", {"settings": EARLIER_1}, "write", "0", True, True, False),
    ("disabled", {"settings": (at("0", "/lib/modprobe.d/zz.conf"),)}, "write", "0", True, True, False),
    # disabled, refused
    ("disabled", {"kernel_modules": "open"}, "refuse", None, False, False, None),
    ("disabled", {"kernel_modules": "open", "params_value": "0"}, "refuse", None, False, False, None),
    ("disabled", {"architectures": ("Hopper",)}, "refuse", None, False, False, None),
    ("disabled", {"architectures": ("Ampere", "Blackwell")}, "refuse", None, False, False, None),
    ("disabled", {"architectures": ("unknown",)}, "refuse", None, False, False, None),
    ("disabled", {"mig": True}, "refuse", None, False, False, None),
    ("disabled", {"vgpu": True}, "refuse", None, False, False, None),
    ("disabled", BARE, "refuse", None, False, False, None),
    ("disabled", {"kernel_modules": None}, "refuse", None, False, False, None),
    ("disabled", {"settings": LATER_1}, "refuse", "0", False, False, None),
    ("disabled", {"settings": (at("1", "/proc/cmdline"),)}, "refuse", "0", False, False, None),
    (
        "disabled",
        {"module_name": "nvidia-current", "settings": (at("1", "/etc/modprobe.d/aa.conf"),)},
        "refuse",
        "0",
        False,
        False,
        None,
    ),
    # disabled, needless
    ("disabled", {"driver_version": "470.256.02"}, "none", None, False, False, None),
    ("disabled", {"architectures": ("Volta", "Pascal")}, "none", None, False, False, None),
    ("disabled", {"architectures": ()}, "none", None, False, False, None),
    # enabled
    ("enabled", {}, "write", "1", True, False, True),
    ("enabled", OFF, "write", "1", True, True, False),
    ("enabled", {**OWN_1, "params_value": "1"}, "none", "1", False, False, True),
    ("enabled", {**OWN_0, **OFF, "mig": True}, "write", "1", True, True, False),
    ("enabled", {"kernel_modules": "open"}, "none", None, False, False, True),
    ("enabled", {"kernel_modules": "open", **OWN_0}, "remove", None, True, False, True),
    ("enabled", {"architectures": ("Hopper",), **OWN_0, **OFF}, "remove", None, True, True, False),
    ("enabled", {"architectures": ("Hopper",), **OFF}, "none", None, False, True, False),
    ("enabled", {"driver_version": "470.256.02"}, "none", None, False, False, None),
    ("enabled", {"settings": (at("0", "/lib/modprobe.d/zz.conf"),)}, "refuse", "1", False, False, None),
    ("enabled", BARE, "write", "1", True, False, None),
    # auto
    ("auto", {}, "write", "0", True, True, False),
    ("auto", {"driver_version": "510.39.01"}, "write", "0", True, True, False),
    ("auto", {"driver_version": "525.105.16"}, "write", "0", True, True, False),
    ("auto", {"driver_version": "525.105.17"}, "none", None, False, False, None),
    ("auto", {"driver_version": "525.105.17-0ubuntu0.22.04.1"}, "none", None, False, False, None),
    ("auto", {"driver_version": "535.183.01"}, "none", None, False, False, None),
    ("auto", {"driver_version": "535.183.01", **OWN_0}, "none", "0", False, True, False),
    ("auto", {"driver_version": "535.183.01", **OWN_0, **OFF}, "none", "0", False, False, True),
    ("auto", {"driver_version": "535.183.01", **OWN_1}, "none", "1", False, False, True),
    (
        "auto",
        {"driver_version": "570.1", "settings": (at("0", "/lib/modprobe.d/zz.conf"),), **OFF},
        "none",
        None,
        False,
        False,
        False,
    ),
    ("auto", {"driver_version": "570.1"}, "none", None, False, False, True),
    ("auto", {"kernel_modules": "open", "driver_version": "525.60.13"}, "none", None, False, False, True),
    ("auto", {"kernel_modules": "open", **OWN_0}, "remove", None, True, False, True),
    ("auto", {"kernel_modules": "open", **OWN_1}, "none", None, False, False, True),
    ("auto", {"architectures": ("Hopper",)}, "none", None, False, False, True),
    ("auto", {"mig": True}, "none", None, False, False, None),
    ("auto", {"mig": True, **OWN_0, **OFF}, "remove", None, True, True, None),
    ("auto", {"vgpu": True, **OWN_0, **OFF}, "remove", None, True, True, None),
    ("auto", {"architectures": ("unknown",), **OWN_0, **OFF}, "remove", None, True, True, None),
    ("auto", BARE, "none", None, False, False, None),
    ("auto", {**BARE, **OWN_0}, "none", None, False, False, None),
    ("auto", {"driver_version": "470.256.02", **OWN_0}, "none", None, False, False, None),
    ("auto", {"architectures": ("Pascal",)}, "none", None, False, False, None),
    ("auto", {"architectures": ()}, "none", None, False, False, None),
    ("auto", {"settings": LATER_1}, "none", None, False, False, None),
    ("auto", {"driver_version": "535.183.01", "settings": (at("0"), *LATER_1)}, "none", None, False, False, None),
]


@pytest.mark.parametrize(("wanted", "differs", "action", "value", "initramfs", "reboot", "effective"), TABLE)
def test_decide(
    wanted: str,
    differs: dict[str, Any],
    action: str,
    value: str | None,
    initramfs: bool,
    reboot: bool,
    effective: bool | None,
) -> None:
    facts = replace(HOST, **differs)
    verdict = decide(wanted, facts)
    assert (verdict.action, verdict.value) == (action, value), verdict
    assert (verdict.initramfs_needed, verdict.reboot_needed, verdict.effective) == (initramfs, reboot, effective), (
        verdict
    )
    assert verdict.reason
    assert verdict.module_name == facts.module_name
    assert not verdict.reboot_needed or verdict.reboot_reason
    if action == "refuse":
        assert verdict.found and verdict.where and verdict.next_step
        with pytest.raises(GpuError):
            verdict.raise_if_refused()


def applied(facts: GspFacts, verdict: Verdict) -> GspFacts:
    """The host after the file was brought to the verdict, its initramfs rebuilt, and a boot."""
    names = (facts.module_name, "nvidia")
    own = [s for s in facts.settings if s.path == facts.path]
    text: str | None = "".join(f"options {s.module} {OPTION}={s.value}\n" for s in own) or None
    if verdict.action == "write" and verdict.value is not None:
        text = with_option(text, names, OPTION, verdict.value)
    elif verdict.action == "remove":
        text = without_option(text, names, OPTION)
    mine = Config(parse(text or "", facts.path)).settings(names, OPTION)
    others = [s for s in facts.settings if s.path != facts.path]
    # a line of the same name in another directory is hidden by our file; none of the rows has one
    read = (*(s for s in others if not beats(s, facts)), *mine, *(s for s in others if beats(s, facts)))
    value = read[-1].value if read else None
    running = facts.running_gsp
    if facts.loaded and value in ("0", "1"):
        running = value == "1" or facts.kernel_modules == "open"
    elif facts.loaded and verdict.reboot_needed:
        running = True
    return replace(facts, settings=read, running_gsp=running, params_value=value or "18", initramfs_older=False)


@pytest.mark.parametrize(("wanted", "differs"), [(row[0], row[1]) for row in TABLE if row[2] != "refuse"])
def test_nothing_is_left_to_do_after_applying(wanted: str, differs: dict[str, Any]) -> None:
    facts = replace(HOST, **differs)
    after = decide(wanted, applied(facts, decide(wanted, facts)))
    assert after.action == "none", after
    assert not after.initramfs_needed
    assert not after.reboot_needed, after


def test_auto_never_refuses() -> None:
    assert {decide("auto", replace(HOST, **row[1])).action for row in TABLE} == {"none", "write", "remove"}


@pytest.mark.parametrize(
    ("setting", "module_name", "expected"),
    [
        (at("1", "/etc/modprobe.d/nvidia-gsp.conf"), "nvidia", False),
        (at("1", "/etc/modprobe.d/nvidia-a.conf"), "nvidia", False),
        (at("1", "/etc/modprobe.d/nvidia-options.conf"), "nvidia", True),
        (at("1", "/lib/modprobe.d/nvidia-gsp.conf"), "nvidia", False),
        (at("1", "/lib/modprobe.d/Z.conf"), "nvidia", False),
        (at("1", "/proc/cmdline"), "nvidia", True),
        (at("1", "/etc/modprobe.d/a.conf"), "nvidia-current", True),
        (at("1", "/etc/modprobe.d/a.conf", "nvidia-current"), "nvidia-current", False),
    ],
)
def test_who_is_read_last(setting: Setting, module_name: str, expected: bool) -> None:
    assert beats(setting, replace(HOST, module_name=module_name)) is expected


def test_contradictions() -> None:
    facts = replace(HOST, settings=(*EARLIER_1, at("0"), *LATER_1))
    assert [setting.place for setting in contradictions(facts, "0")] == [
        "/etc/modprobe.d/aa.conf:1",
        "/lib/modprobe.d/zz.conf:1",
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [([], None), ([None], None), ([True, None], True), ([False, None], False), ([False, True], True)],
)
def test_running(states: list[bool | None], expected: bool | None) -> None:
    assert running_gsp(states) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filename: /x.ko\nlicense:        NVIDIA\nversion:        535.1\n", ("535.1", "proprietary")),
        ("license:        Dual MIT/GPL\nversion:        580.1\n", ("580.1", "open")),
        ("license: other\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_modinfo(text: str, expected: tuple[str | None, str | None]) -> None:
    assert parse_modinfo(text) == expected


@pytest.mark.parametrize(
    ("install", "index", "os_id", "expected"),
    [
        ("install nvidia modprobe -i nvidia-current $CMDLINE_OPTS", "", "", "nvidia-current"),
        ("", "updates/dkms/nvidia-current.ko.xz: x\n", "", "nvidia-current"),
        (
            "",
            "updates/dkms/nvidia-current-uvm.ko: updates/dkms/nvidia-current.ko\nupdates/dkms/nvidia-current.ko:\n",
            "",
            "nvidia-current",
        ),
        ("", "updates/dkms/nvidia-current-open.ko:\n", "debian", "nvidia-current-open"),
        ("", "updates/dkms/nvidia-drm.ko:\nupdates/dkms/nvidia.ko: x\n", "debian", "nvidia"),
        ("", "kernel/drivers/video/nvidia-backlight.ko:\n", "debian", "nvidia-current"),
        ("", "", "debian", "nvidia-current"),
        ("", "", "ubuntu", "nvidia"),
        ("", "", "", "nvidia"),
    ],
)
def test_real_module_name(tmp_path: Path, install: str, index: str, os_id: str, expected: str) -> None:
    (tmp_path / "lib/modules/6.1").mkdir(parents=True)
    (tmp_path / "lib/modules/6.1/modules.dep").write_text(index)
    assert real_module_name(Config(parse(install, "f")), Host(os_id, "6.1", str(tmp_path))) == expected


@pytest.mark.parametrize(
    ("image", "file", "expected"), [(1, 2, True), (2, 1, False), (None, 1, False), (1, None, False)]
)
def test_initramfs_older(tmp_path: Path, image: int | None, file: int | None, expected: bool) -> None:
    for path, age in {"boot/initrd.img-6.1": image, DEFAULT_PATH.lstrip("/"): file}.items():
        if age is not None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
            os.utime(tmp_path / path, (age, age))
    assert initramfs_older(DEFAULT_PATH, Host("ubuntu", "6.1", str(tmp_path))) is expected


GPU = PciDevice("0000:3b:00.0", "10de", "2235", "030200", "nvidia")
AUDIO = PciDevice("0000:3b:00.1", "10de", "1aef", "040300", None)


def kernel(firmware: str | None, params: dict[str, str]) -> KernelModule:
    return KernelModule(
        True, "525.60.13", "proprietary", params, {GPU.address: GpuInformation("A40", "GPU-1", firmware)}
    )


@pytest.mark.parametrize(
    ("firmware", "params", "running"),
    [
        ("525.60.13", {"EnableGpuFirmware": "18"}, True),
        ("525.60.13", {"EnableGpuFirmware": "0"}, True),  # params alone prove nothing
        (None, {"EnableGpuFirmware": "0"}, False),
        (None, {"EnableGpuFirmware": "18"}, False),
    ],
)
def test_collect(tmp_path: Path, firmware: str | None, params: dict[str, str], running: bool) -> None:
    config = Config(parse(f"options nvidia {OPTION}=0\n", DEFAULT_PATH))
    facts = collect([GPU, AUDIO], kernel(firmware, params), None, config, Host("ubuntu", "6.1", str(tmp_path)))
    assert facts.architectures == ("Ampere",)
    assert facts.running_gsp is running
    assert (facts.own, facts.own_exact, facts.module_name) == ("0", True, "nvidia")
    assert facts.to_dict()["driver_version"] == "525.60.13"


def test_collect_from_a_real_host(tmp_path: Path, fixtures: Path) -> None:
    """nvidia-smi of the H200 host: GSP runs, and the decision is a refusal."""
    report: SmiReport = parse_smi((fixtures / "h200-sxm-580-open/nvidia-smi-q.xml").read_text())
    module = KernelModule(True, "580.159.04", "open", {"EnableGpuFirmware": "18"})
    device = PciDevice("0000:00:06.0", "10de", "2335", "030200", "nvidia")
    facts = collect([device], module, report, Config(()), Host("ubuntu", "6.1", str(tmp_path)))
    assert (facts.running_gsp, facts.mig, facts.vgpu, facts.architectures) == (True, False, False, ("Hopper",))
    assert decide("disabled", facts).action == "refuse"
    assert decide("auto", facts).action == "none"
