"""Nodes for the tests of the plan, made in memory, and what a node looks like once steps are done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import find
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState, System
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import DEFAULT_PATH, OPTION, GspFacts
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe as linux_modprobe
from ansible_collections.t9k.gpu.plugins.module_utils._linux import systemd_unit
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import Setting
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import SecureBoot
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

A40 = PciDevice("0000:18:00.0", "10de", "2235", "030200", None, 0)
KERNEL = "5.15.0-91-generic"
BUILT, LATER = 1000.0, 2000.0
UNIT = systemd_unit.Unit(
    "nvidia-persistenced.service",
    systemd_unit.Source(
        "/lib/systemd/system/nvidia-persistenced.service",
        "[Service]\nExecStart=/usr/bin/nvidia-persistenced --user nvpd\n[Install]\nWantedBy=multi-user.target\n",
    ),
)


STEMS = (
    *(
        "libnvidia-cfg1",
        "libnvidia-compute",
        "libnvidia-decode",
        "libnvidia-encode",
        "libnvidia-extra",
        "libnvidia-fbc1",
    ),
    *("libnvidia-gl", "nvidia-compute-utils", "nvidia-kernel-common", "nvidia-utils", "xserver-xorg-video-nvidia"),
)


def package_plan(version: str) -> PackagePlan:
    """The family of Ubuntu's servers: the module's source, libraries, tools."""
    names = ("nvidia-dkms-x-server", *(f"{stem}-x-server" for stem in STEMS))
    branch = version.split(".")[0]
    pinned = tuple(f"{name.replace('-x-', f'-{branch}-')}={version}-0ubuntu1" for name in names)
    return PackagePlan(pinned, pinned, (pinned[0].split("=")[0],), version, branch, "proprietary", "dkms")


def packages_of(version: str, want: str) -> tuple[Package, ...]:
    pairs = (pinned.split("=") for pinned in package_plan(version).packages)
    return tuple(Package(name, "amd64", full, want, "installed") for name, full in pairs)


def bare_node() -> NodeState:
    """An A40 and nothing of NVIDIA's."""
    packages = (Package("openssh-server", "amd64", "1:9.2p1-2", "install", "installed"),)
    system = System(
        "ubuntu", "22.04", "jammy", "Ubuntu 22.04", KERNEL, "the-boot", SecureBoot(), 50000, False, BUILT, BUILT
    )
    report = SmiReport("not_installed")
    files: dict[str, str | None] = dict.fromkeys((*driver_files.OURS, driver_files.CORDON_MARK, driver_files.BEFORE))
    facts = GspFacts(architectures=("Ampere",))
    return NodeState(system, (A40,), packages, None, KernelModule(False), report, None, False, facts, None, files, None)


def finished_node(version: str) -> NodeState:
    """The same node, with a driver that works and is held, GSP as the driver has it."""
    bare = bare_node()
    steps = [
        Step(
            "files",
            "",
            data={"files": [{"path": linux_modprobe.BLACKLIST_PATH, "content": linux_modprobe.render_blacklist()}]},
        ),
        Step("install", "", data={"packages": list(package_plan(version).packages)}),
        Step("hold", "", data={"state": "held"}),
        Step("initramfs", ""),
        Step("reboot", "", data={"mark": None}),
    ]
    return simulate(bare, steps)


def simulate(state: NodeState, steps: Iterable[Step]) -> NodeState:
    """The node after the steps: what the role's task files do to it, in memory."""
    for step in steps:
        state = DEEDS[step.name](state, step)
    return state


def _same(state: NodeState, _step: Step) -> NodeState:
    return state


def _settle(state: NodeState, _step: Step) -> NodeState:
    return replace(state, files={**state.files, driver_files.BEFORE: None})


def _files(state: NodeState, step: Step) -> NodeState:
    files = {**state.files, **{file["path"]: file["content"] for file in step.data["files"]}}
    settings = state.gsp_facts.settings if files[DEFAULT_PATH] else ()
    touched = linux_modprobe.BLACKLIST_PATH in {file["path"] for file in step.data["files"]}
    stamp = LATER if touched else state.modprobe_mtime
    return replace(state, files=files, gsp_facts=replace(state.gsp_facts, settings=settings), modprobe_mtime=stamp)


def _install(state: NodeState, step: Step) -> NodeState:
    version = step.data["packages"][0].split("=")[1].split("-")[0]
    others = tuple(package for package in state.packages if "nvidia" not in package.name)
    packages = (*others, *packages_of(version, "install"))
    return replace(state, packages=packages, driver=find(packages), persistenced=UNIT, persistenced_enabled=True)


def _hold(state: NodeState, step: Step) -> NodeState:
    want = "hold" if step.data["state"] == "held" else "install"
    packages = tuple(replace(p, want=want) if "nvidia" in p.name else p for p in state.packages)
    return replace(state, packages=packages)


def _remove(state: NodeState, step: Step) -> NodeState:
    packages = tuple(package for package in state.packages if package.label not in step.data["packages"])
    return replace(state, packages=packages, driver=None, persistenced=None, persistenced_enabled=False)


def _gsp(state: NodeState, step: Step) -> NodeState:
    value = {"disabled": "0", "enabled": "1"}[step.data["mode"]] if step.data["mode"] != "auto" else "0"
    facts = state.gsp_facts
    setting = Setting(facts.module_name, OPTION, value, DEFAULT_PATH, 1)
    text = f"options {facts.module_name} {OPTION}={value}\n"
    files = {**state.files, DEFAULT_PATH: text}
    return replace(state, files=files, gsp_facts=replace(facts, settings=(setting,)), modprobe_mtime=LATER)


def _initramfs(state: NodeState, _step: Step) -> NodeState:
    return replace(state, system=replace(state.system, initramfs_mtime=LATER + 1))


def _reboot(state: NodeState, _step: Step) -> NodeState:
    facts, driver = state.gsp_facts, state.driver
    if driver is None:
        return replace(state, kernel_module=KernelModule(False), smi=bare_node().smi,
                       gsp_facts=replace(facts, loaded=False, driver_version=None, kernel_modules=None, running_gsp=None))  # fmt: skip
    module = KernelModule(True, driver.driver_version, driver.kernel_modules)
    running = not facts.settings or facts.settings[-1].value != "0"
    after = replace(facts, loaded=True, driver_version=driver.driver_version, kernel_modules=driver.kernel_modules,
                    running_gsp=running, params_value=facts.settings[-1].value if facts.settings else "18")  # fmt: skip
    return replace(state, kernel_module=module, smi=_smi(driver.driver_version), gsp_facts=after)


def _smi(version: str) -> SmiReport:
    """One A40 with persistence mode on, by way of the parser, so that every field is there."""
    gpu = "<gpu id='00000000:18:00.0'><product_name>NVIDIA A40</product_name><persistence_mode>Enabled</persistence_mode></gpu>"
    return nvidia_smi.parse(
        f"<?xml version='1.0'?><nvidia_smi_log><driver_version>{version}</driver_version>{gpu}</nvidia_smi_log>"
    )


def _persistence(state: NodeState, _step: Step) -> NodeState:
    gpus = tuple(replace(gpu, persistence_enabled=True) for gpu in state.smi.gpus)
    return replace(state, smi=replace(state.smi, gpus=gpus), persistenced_enabled=True)


def _sources(state: NodeState, step: Step) -> NodeState:
    """As ``deb822_repository`` writes it: a key given by address lands at a path of its own."""
    fields = {name: tuple(step.data[name]) for name in ("uris", "suites", "components")}
    text = stanza(Entry(**fields, signed_by="/etc/apt/keyrings/t9k-gpu-driver.asc"))
    tools = tuple(Package(name, "all", "1", "install", "installed") for name in step.data["needs"])
    return replace(state, files={**state.files, driver_files.SOURCES: text}, packages=(*state.packages, *tools))


def _repair(state: NodeState, _step: Step) -> NodeState:
    packages = tuple(replace(p, status="installed") if p.present else p for p in state.packages)
    return replace(state, packages=packages, driver=find(packages))


DEEDS = {
    "sources": _sources,
    "repair": _repair,
    "drain": _same,
    "settle": _settle,
    "uncordon": _same,
    "files": _files,
    "install": _install,
    "hold": _hold,
    "remove": _remove,
    "gsp": _gsp,
    "persistence": _persistence,
    "initramfs": _initramfs,
    "reboot": _reboot,
}
