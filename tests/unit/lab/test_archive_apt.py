"""The real apt on the archives of the table: what it answers there is what it answered on hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import parse_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import hold_set
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import is_driver
from tests.lab.archive import cuda, shown, ubuntu
from tests.lab.archive.deb import Package
from tests.lab.archive.private_apt import PrivateApt

pytestmark = pytest.mark.needs("apt-get")
SPRING, SUMMER, TODAY = "2024-05-05", "2024-07-01", "2026-09-15"
KERNEL = ("linux-generic", "linux-image-generic", "linux-headers-generic")
#: Debian's own, wanted by name.
BASE = (Package("adduser", "3.118"), Package("libibumad3", "39.0"))


def machine(path: Path, day: str, installed: Iterable[Package] = (), held: Iterable[str] = ()) -> PrivateApt:
    path.mkdir(exist_ok=True)
    apt = PrivateApt(path, [*BASE, *installed], held)
    return apt.archive("jammy", ubuntu.moment(ubuntu.entries("jammy"), day))


def install(apt: PrivateApt, day: str, *names: str) -> list[Package]:
    """What apt would install, as packages."""
    offers = [each.package for each in shown.ubuntu_offers("jammy", day)]
    there = {(package.name, package.version): package for package in offers}
    found = debian_apt.transaction(apt, names)
    return [there[move.name, move.after or ""] for move in (*found.install, *found.upgrade)]


def simulated(apt: PrivateApt, *words: str) -> tuple[set[str], set[str]]:
    """Names that come or are upgraded, and names that go."""
    done = apt(["apt-get", "-s", *words])
    assert done.ok, done.stdout + done.stderr
    return set(re.findall(r"^Inst (\S+)", done.stdout, re.MULTILINE)), set(
        re.findall(r"^Remv (\S+)", done.stdout, re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("day", "driver", "meta", "dkms"),
    [
        (TODAY, "nvidia-driver-595", "", {"dkms", "nvidia-dkms-595"}),
        (TODAY, "nvidia-driver-595", "linux-modules-nvidia-595-generic-hwe-22.04", set()),
        (TODAY, "nvidia-driver-580-server-open", "linux-modules-nvidia-580-server-open-generic", set()),
        (TODAY, "nvidia-driver-550-server", "", {"dkms", "nvidia-dkms-580-server"}),
        ("2024-05-20", "nvidia-driver-535-server", "linux-modules-nvidia-535-server-aws", set()),
    ],
)
def test_the_flavours_metapackage_takes_the_place_of_dkms(
    tmp_path: Path, day: str, driver: str, meta: str, dkms: set[str]
) -> None:
    """As seen on a 22.04 host of 2026-08: with the driver alone apt takes dkms, with the two of them it does not."""
    come, _go = simulated(machine(tmp_path / "m", day), "install", driver, *([meta] if meta else []))
    assert {name for name in come if name == "dkms" or name.startswith("nvidia-dkms")} == dkms
    assert bool(meta) == any(name.startswith("linux-modules-nvidia-") for name in come)


@pytest.mark.parametrize("meta", ["", "linux-modules-nvidia-535-server-generic"])
@pytest.mark.parametrize(
    ("held", "kernel", "modules"),
    [
        ("driver", True, False),  # the next boot is without a driver
        ("driver and kernel", False, False),
        ("nothing", True, True),
    ],
)
def test_what_a_hold_lets_through_when_the_kernel_moves_on(
    tmp_path: Path, meta: str, held: str, kernel: bool, modules: bool
) -> None:
    """Nothing binds the kernel's metapackages to the driver: they go on, the modules' packages are kept back with the driver."""
    bare = machine(tmp_path / "bare", SPRING)
    there = install(bare, SPRING, *KERNEL)
    wanted = ("nvidia-headless-no-dkms-535-server", "linux-modules-nvidia-535-server-5.15.0-106-generic", meta)
    there += install(machine(tmp_path / "kernel", SPRING, there), SPRING, *filter(None, wanted))
    names = [package.name for package in there]
    keep = [name for name in names if is_driver(name)] if held != "nothing" else []
    keep += list(KERNEL) if held == "driver and kernel" else []
    come, go = simulated(machine(tmp_path / "later", SUMMER, there, keep), "upgrade", "--with-new-pkgs")
    assert ("linux-image-5.15.0-113-generic" in come) is kernel
    # without the metapackage nothing asks for the next kernel's modules, held or not
    assert ("linux-modules-nvidia-535-server-5.15.0-113-generic" in come) is (modules and bool(meta))
    assert go == set()


@pytest.mark.parametrize("pending", [False, True])
def test_what_is_held_for_prebuilt_modules_keeps_the_next_kernel_away(tmp_path: Path, pending: bool) -> None:
    """``pending``: the metapackages have brought a newer kernel already, which has not been booted and has no modules."""
    running = "5.15.0-106-generic"
    there = install(machine(tmp_path / "bare", SPRING), SPRING, *KERNEL)
    driver = ("nvidia-headless-no-dkms-535-server", f"linux-modules-nvidia-535-server-{running}")
    there += install(machine(tmp_path / "kernel", SPRING, there), SPRING, *driver)
    if pending:
        newer = install(machine(tmp_path / "pending", SUMMER, there), SUMMER, *KERNEL)
        assert "linux-image-5.15.0-113-generic" in [package.name for package in newer]
        there = [*{package.name: package for package in (*there, *newer)}.values()]
    before = machine(tmp_path / "before", TODAY, there)
    kept = hold_set(parse_status((before.folder / "status").read_text()), running)
    free, _go = simulated(
        machine(tmp_path / "free", TODAY, there, filter(is_driver, kept)), "upgrade", "--with-new-pkgs"
    )
    come, go = simulated(machine(tmp_path / "held", TODAY, there, kept), "upgrade", "--with-new-pkgs")
    assert [name for name in free if name.startswith("linux-image-5.15.0-190")]
    assert [name for name in come if name.startswith("linux-image")] == []
    assert go == set()


@pytest.mark.parametrize(("pin", "candidate"), [("", "595.71.05"), ("590", "590.48.01"), ("590.48.01", "590.48.01")])
def test_nvidias_pinning_package_decides_what_comes(tmp_path: Path, pin: str, candidate: str) -> None:
    """nvidia-open itself wants (>=), so without a pin a version asked for is not the one that comes."""
    apt = machine(tmp_path / "m", TODAY).flat(cuda.packages(TODAY))
    if pin:
        package = next(each for each in cuda.packages(TODAY) if each.name == f"nvidia-driver-pinning-{pin}")
        (apt.folder / "preferences").write_text(next(iter(package.files.values())))
    done = apt(["apt-get", "-s", "install", "nvidia-open" if pin else "nvidia-open=590.48.01-1ubuntu1"])
    assert done.ok, done.stderr
    assert f"Inst nvidia-driver-open ({candidate}-1ubuntu1" in done.stdout
