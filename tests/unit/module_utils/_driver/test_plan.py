"""The plan as decision tables. Each step whole: test_plan_steps.py; the way out: test_plan_absent.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from node_builder import A40, UNIT, bare_node, finished_node, package_plan, simulate

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Move, Transaction, install_arguments
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import DEFAULT_PATH, OPTION
from ansible_collections.t9k.gpu.plugins.module_utils._linux import systemd_unit
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import Setting
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.fabric import Fabric
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

WANTED = Wanted(drain="never")
V525 = "525.147.05"
MIRROR = "https://mirror.example/"
TOLD = f"machine {MIRROR} login user password secret\n"


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def target(version: str = V525, packages: bool = True, **rest: object) -> Target:
    return Target(version, "proprietary", package_plan(version) if packages else None, **rest)  # type: ignore[arg-type]


BARE = ["files", "install", "hold", "initramfs", "reboot"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WANTED, BARE),
        (replace(WANTED, hold=False), ["files", "install", "initramfs", "reboot"]),
        (replace(WANTED, reboot="never"), ["files", "install", "hold", "initramfs"]),
        (replace(WANTED, blacklist=False), ["install", "hold", "reboot"]),
        (replace(WANTED, gsp="disabled"), ["files", "install", "hold", "gsp", "initramfs", "reboot"]),
        (replace(WANTED, drain="always"), ["drain", *BARE, "uncordon"]),
        # While a reboot is left to the user the node stays empty.
        (replace(WANTED, drain="always", reboot="never"), ["drain", *BARE[:-1]]),
        (replace(WANTED, drain="auto"), BARE),
    ],
)
def test_bare_node(wanted: Wanted, expected: list[str]) -> None:
    assert names(driver_plan.plan(bare_node(), wanted, target())) == expected


def test_a_kubelet_means_a_drain() -> None:
    state = bare_node()
    with_kubelet = replace(state, system=replace(state.system, kubelet=True))
    steps = driver_plan.plan(with_kubelet, Wanted(), target())
    assert names(steps) == ["drain", *BARE, "uncordon"]
    assert steps[0].reason == f"the step install comes: {driver_plan.GPU_WORK}"
    assert {step.name: step.disturbs for step in steps if step.disturbs} == {
        "install": driver_plan.GPU_WORK,
        "reboot": driver_plan.EVERYTHING,
    }


def test_the_vendors_unit_that_switches_persistence_off_is_foreseen() -> None:
    steps = driver_plan.plan(bare_node(), WANTED, target(vendor_persistence_off=True))
    assert "persistence" in names(steps)


def changed(**fields: object) -> NodeState:
    return replace(finished_node(V525), **fields)  # type: ignore[arg-type]


def held(state: NodeState, want: str) -> NodeState:
    return replace(state, packages=tuple(replace(package, want=want) for package in state.packages))


FINISHED = finished_node(V525)


def option(**facts: object) -> NodeState:
    """GSP is switched off in our file, and this is what the loaded driver does."""
    setting = Setting("nvidia", OPTION, "0", DEFAULT_PATH, 1)
    files = {**FINISHED.files, DEFAULT_PATH: f"options nvidia {OPTION}=0\n"}
    return changed(files=files, gsp_facts=replace(FINISHED.gsp_facts, settings=(setting,), **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        (FINISHED, WANTED, []),
        (held(FINISHED, "install"), WANTED, ["hold"]),
        (held(FINISHED, "install"), replace(WANTED, hold=False), []),
        (FINISHED, replace(WANTED, hold=False), ["hold"]),
        (FINISHED, replace(WANTED, pin=True), ["files"]),
        (FINISHED, replace(WANTED, unattended_exclusion=True), ["files"]),
        (FINISHED, replace(WANTED, blacklist=False), ["files", "initramfs"]),
        (FINISHED, replace(WANTED, gsp="disabled"), ["gsp", "initramfs", "reboot"]),
        (FINISHED, replace(WANTED, gsp="disabled", mig=True), []),
        (changed(modprobe_mtime=3000.0), WANTED, ["initramfs"]),
        (changed(modprobe_mtime=FINISHED.system.initramfs_mtime), WANTED, []),  # of the same moment
        (option(running_gsp=True, params_value="18"), replace(WANTED, gsp="disabled"), ["reboot"]),
        (
            option(running_gsp=True, params_value="0"),
            replace(WANTED, gsp="disabled"),
            [],
        ),  # the loaded driver got it: in vain
        (option(running_gsp=False, params_value="0"), replace(WANTED, gsp="disabled"), []),
        (changed(kernel_module=replace(FINISHED.kernel_module, version="525.105.17")), WANTED, ["reboot"]),
        (changed(kernel_module=replace(FINISHED.kernel_module, loaded=False)), WANTED, ["reboot"]),
        (changed(kernel_module=replace(FINISHED.kernel_module, kernel_modules="open")), WANTED, ["reboot"]),
        (changed(pci=(replace(A40, driver="nouveau"),)), WANTED, ["reboot"]),
        (changed(files={**FINISHED.files, driver_files.CORDON_MARK: "schedulable before\n"}), WANTED, ["uncordon"]),
        (changed(persistenced_enabled=False), WANTED, ["persistence"]),
        (changed(persistenced_enabled=False), replace(WANTED, persistence=False), []),
    ],
)
def test_finished_node(state: NodeState, wanted: Wanted, expected: list[str]) -> None:
    assert names(driver_plan.plan(state, wanted, target(packages=False))) == expected


OFF = replace(FINISHED.smi, gpus=tuple(replace(gpu, persistence_enabled=False) for gpu in FINISHED.smi.gpus))
NO_MODE = replace(
    UNIT, fragment=replace(UNIT.fragment, text=UNIT.fragment.text.replace("nvpd", "nvpd --no-persistence-mode"))
)


def override(text: str) -> systemd_unit.Unit:
    """An administrator's own drop-in, which is read after ours."""
    path = "/etc/systemd/system/nvidia-persistenced.service.d/override.conf"
    return replace(UNIT, candidates=(systemd_unit.Source(path, f"[Service]\nExecStart=\nExecStart={text}\n"),))


@pytest.mark.parametrize(
    "fields", [{"smi": OFF}, {"persistenced": NO_MODE, "smi": OFF}, {"persistenced_enabled": False, "smi": OFF}]
)
def test_switching_persistence_on_disturbs_nobody(fields: dict[str, object]) -> None:
    """Neither systemd's reload nor a drain is needed for it."""
    steps = driver_plan.plan(changed(**fields), replace(WANTED, drain="always"), target(packages=False))
    assert [(step.name, step.disturbs, step.data) for step in steps] == [("persistence", "", {"switch": True})]


def test_nothing_is_switched_between_an_installation_and_its_reboot() -> None:
    """The library is new by then and the loaded module old: nvidia-smi would not answer."""
    steps = driver_plan.plan(changed(persistenced=NO_MODE, smi=OFF), WANTED, target("535.54.03"))
    assert [step.data for step in steps if step.name == "persistence"] == [{"switch": False}]


@pytest.mark.parametrize(("there", "expected"), [(None, []), ("[Service]\n", [driver_files.PERSISTENCE])])
def test_our_drop_in_goes_where_persistence_is_not_wanted(there: str | None, expected: list[str]) -> None:
    state = changed(files={**FINISHED.files, driver_files.PERSISTENCE: there})
    steps = driver_plan.plan(state, replace(WANTED, persistence=False), target(packages=False))
    assert [file["path"] for step in steps for file in step.data["files"]] == expected
    assert all(file["content"] is None and not step.disturbs for step in steps for file in step.data["files"])


@pytest.mark.parametrize(
    ("command", "persistence", "refused"),
    [
        (
            "/usr/bin/nvidia-persistenced --user admin",
            True,
            False,
        ),  # an override that keeps the mode on is none of our business
        ("/usr/bin/nvidia-persistenced --no-persistence-mode", True, True),
        ("/usr/bin/nvidia-persistenced --no-persistence-mode", False, False),
    ],
)
def test_an_administrators_own_command(command: str, persistence: bool, refused: bool) -> None:
    wanted, state = replace(WANTED, persistence=persistence), changed(persistenced=override(command))
    if not refused:
        assert driver_plan.plan(state, wanted, target(packages=False)) == ()
        return
    with pytest.raises(
        GpuError, match=r"override.conf.*take --no-persistence-mode away there, or set driver_persistence"
    ):
        driver_plan.plan(state, wanted, target(packages=False))


@pytest.mark.parametrize(
    ("fabric", "manager", "packages", "data"),
    [
        (Fabric("NVSwitch"), "auto", False, {"start": True}),
        (Fabric("NVLink 5"), "present", False, {"start": True}),
        (Fabric("NVSwitch"), "auto", True, {"start": False}),  # the module it speaks to comes with the reboot
        (Fabric("NVSwitch", enabled=True), "auto", False, None),
        (Fabric("NVSwitch"), "absent", False, None),
        (Fabric(), "auto", False, None),
    ],
)
def test_fabric_manager_is_enabled(fabric: Fabric, manager: str, packages: bool, data: dict[str, bool] | None) -> None:
    """On a machine that has a fabric, and only there. Nothing is disturbed by it."""
    steps = driver_plan.plan(changed(fabric=fabric), replace(WANTED, fabric_manager=manager), target(packages=packages))
    assert [step.data for step in steps if step.name == "fabric"] == ([data] if data else [])
    assert not any(step.disturbs for step in steps if step.name == "fabric")


def test_fabric_manager_waits_for_the_module_of_its_version() -> None:
    state = changed(fabric=Fabric("NVSwitch"), kernel_module=replace(FINISHED.kernel_module, version="525.105.17"))
    steps = driver_plan.plan(state, WANTED, target(packages=False))
    assert [(step.name, step.data.get("start")) for step in steps if step.name != "reboot"] == [("fabric", False)]


def broken(status: str, flag: str = "ok") -> NodeState:
    *rest, last = FINISHED.packages
    return changed(packages=(*rest, replace(last, status=status, flag=flag)))


SPEC = "xserver-xorg-video-nvidia-525-server:amd64=525.147.05-0ubuntu1"


@pytest.mark.parametrize(
    ("state", "coming", "again"),
    [
        (broken("half-configured"), None, []),
        (broken("unpacked"), None, []),
        (broken("half-installed"), None, [SPEC]),  # its files are not all there: configuring cannot mend that
        (broken("installed", "reinstreq"), None, [SPEC]),
        (broken("half-installed", "reinstreq"), V525, [SPEC]),  # apt leaves a version that is there as it is
        (broken("half-installed", "reinstreq"), "525.105.17", []),  # the installation that follows brings its files
    ],
)
def test_a_package_dpkg_left_half_done(state: NodeState, coming: str | None, again: list[str]) -> None:
    first = driver_plan.plan(state, WANTED, target(coming or V525, packages=coming is not None))[0]
    assert (first.name, first.data["reinstall"], bool(first.disturbs)) == ("repair", again, True)
    assert first.data["apt_get"] == install_arguments(["--reinstall", *again])


@pytest.mark.parametrize(
    ("state", "wanted", "packages", "repaired"),
    [
        (bare_node(), WANTED, True, True),
        (FINISHED, WANTED, False, False),  # somebody else's dpkg may be at work: nothing is to be done here
        (FINISHED, replace(WANTED, state="absent"), False, True),
        (bare_node(), replace(WANTED, state="absent"), False, False),
    ],
)
def test_a_broken_off_journal_is_finished_before_apt_is_needed(
    state: NodeState, wanted: Wanted, packages: bool, repaired: bool
) -> None:
    state = replace(state, system=replace(state.system, dpkg_interrupted=True))
    planned = driver_plan.plan(state, wanted, target(packages=packages) if wanted.state == "present" else None)
    assert (names(planned)[:1] == ["repair"]) is repaired


@pytest.mark.parametrize(
    ("state", "transaction", "disturbing"),
    [
        (FINISHED, Transaction(install=(Move("libnvidia-encode-525-server", None, V525),)), []),
        (FINISHED, Transaction(install=(Move("nvidia-dkms-525-server", None, V525),)), ["install", "reboot"]),
        (FINISHED, Transaction(install=(Move("a", None, "1"),), upgrade=(Move("b", "1", "2"),)), ["install", "reboot"]),
        (
            FINISHED,
            Transaction(install=(Move("a", None, "1"),), downgrade=(Move("b", "2", "1"),)),
            ["install", "reboot"],
        ),
        (FINISHED, Transaction(install=(Move("a", None, "1"),), remove=(Move("b", "1", None),)), ["install", "reboot"]),
        (FINISHED, Transaction(), ["install", "reboot"]),  # nothing is known of what apt would do
        (finished_node("525.105.17"), Transaction(install=(Move("a", None, "1"),)), ["install", "reboot"]),
    ],
)
def test_libraries_beside_the_driver_that_runs_disturb_nobody(
    state: NodeState, transaction: Transaction, disturbing: list[str]
) -> None:
    planned = driver_plan.plan(state, WANTED, target(transaction=transaction))
    assert "install" in names(planned)
    assert [step.name for step in planned if step.disturbs] == disturbing


def test_the_reason_names_what_is_missing() -> None:
    gaps = tuple(f"library {number} is missing" for number in range(5))
    install = driver_plan.plan(FINISHED, WANTED, target(gaps=gaps))[0]
    assert install.reason == (
        "driver 525.147.05 is not whole: library 0 is missing, library 1 is missing, library 2 is missing and 2 more"
    )


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (None, ["reboot"]),
        (
            f"{V525}/proprietary default the-boot\n",
            ["reboot"],
        ),  # the mark of this very boot: that reboot has not come yet
        (f"{V525}/proprietary default an-earlier-boot\n", []),  # it came, and did not help
        ("525.105.17/proprietary default an-earlier-boot\n", ["reboot"]),  # of another driver
        (f"{V525}/proprietary 0 an-earlier-boot\n", ["reboot"]),  # for another GSP option
        (f"{V525}/open default an-earlier-boot\n", ["reboot"]),  # for the other kernel modules
        ("garbage", ["reboot"]),
    ],
)
def test_a_reboot_that_did_not_help_is_not_repeated(mark: str | None, expected: list[str]) -> None:
    unloaded = replace(FINISHED.kernel_module, loaded=False)
    state = changed(kernel_module=unloaded, files={**FINISHED.files, driver_files.REBOOT_MARK: mark})
    assert names(driver_plan.plan(state, WANTED, target(packages=False))) == expected


def test_an_interruption_before_the_reboot_of_a_gsp_change_still_gets_it() -> None:
    """The mark of the reboot after the installation must not count for the option that came later."""
    wanted = replace(WANTED, gsp="disabled")
    marked = changed(
        files={**FINISHED.files, driver_files.REBOOT_MARK: f"{V525}/proprietary default an-earlier-boot\n"}
    )
    planned = driver_plan.plan(marked, wanted, target(packages=False))
    interrupted = simulate(marked, [step for step in planned if step.name != "reboot"])
    assert names(driver_plan.plan(interrupted, wanted, target(packages=False))) == ["reboot"]


def test_a_reboot_that_is_not_allowed_is_pending_with_its_reason() -> None:
    state = changed(kernel_module=replace(FINISHED.kernel_module, version="525.105.17"))
    never = replace(WANTED, reboot="never")
    planned = driver_plan.plan(state, never, target(packages=False))
    assert planned == ()
    reason = driver_plan.pending_reboot(state, never, target(packages=False), planned)
    assert reason == "driver 525.105.17 is loaded, 525.147.05 is installed"
    assert driver_plan.pending_reboot(state, WANTED, target(packages=False), planned) is None


def test_a_boot_that_an_option_waits_for_is_pending_too() -> None:
    never = replace(WANTED, gsp="disabled", reboot="never")
    state = option(running_gsp=True, params_value="18")
    reason = driver_plan.pending_reboot(state, never, target(packages=False), ())
    assert reason == "the loaded driver runs with GSP on until the next boot"


def test_a_source_that_stands_is_left_alone() -> None:
    entry = Entry(("https://mirror.example",), ("jammy",), ("restricted",))
    state = changed(files={**FINISHED.files, driver_files.SOURCES: stanza(entry)})
    assert driver_plan.plan(state, WANTED, target(packages=False, sources={driver_files.SOURCES: entry})) == ()


def test_a_reason_has_no_password_of_the_source() -> None:
    entry = Entry(("https://user:secret@mirror.example/",), ("jammy",), ("restricted",))
    (step,) = driver_plan.plan(FINISHED, WANTED, target(packages=False, sources={driver_files.SOURCES: entry}))
    assert "https://mirror.example/" in step.reason and "secret" not in step.reason
    (written,) = step.data["entries"]
    assert (written["name"], written["uris"], step.data["logins"]) == ("t9k-gpu-driver", [MIRROR], [MIRROR])
    assert "secret" not in str(step)


@pytest.mark.parametrize(
    ("uris", "logins", "expected"),
    [
        ("https://user:secret@mirror.example/", TOLD, ["sources"]),  # as versions before wrote it
        (MIRROR, None, ["sources"]),
        (MIRROR, TOLD.replace("secret", "older"), ["sources"]),
        (MIRROR, TOLD, []),
    ],
)
def test_a_source_with_a_password_stands_in_two_files(uris: str, logins: str | None, expected: list[str]) -> None:
    entry = Entry(("https://user:secret@mirror.example/",), ("jammy",), ("restricted",))
    files = {driver_files.SOURCES: stanza(replace(entry, uris=(uris,))), driver_files.LOGINS: logins}
    state = changed(files={**FINISHED.files, **files})
    steps = driver_plan.plan(state, WANTED, target(packages=False, sources={driver_files.SOURCES: entry}))
    assert [step.name for step in steps] == expected


def test_logins_that_nobody_needs_go() -> None:
    state = changed(files={**FINISHED.files, driver_files.LOGINS: TOLD})
    (step,) = driver_plan.plan(state, WANTED, target(packages=False))
    assert step.data["files"] == [{"path": driver_files.LOGINS, "content": None}]


@pytest.mark.parametrize(("there", "needs"), [(True, []), (False, ["python3-debian"])])
def test_a_source_says_what_else_it_installs(there: bool, needs: list[str]) -> None:
    tool = Package("python3-debian", "all", "0.1.49", "install", "installed")
    state = changed(packages=(*FINISHED.packages, *((tool,) if there else ())))
    entry = Entry(("https://mirror.example",), ("jammy",), ("restricted",))
    (step,) = driver_plan.plan(state, WANTED, target(packages=False, sources={driver_files.SOURCES: entry}))
    assert (step.name, step.data["needs"]) == ("sources", needs)
    assert ("python3-debian" in step.reason) is not there
