"""What an installed driver lacks: seen on nodes whose module package was right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from node_builder import KERNEL, STEMS, packages_of

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import make_catalogue, parse_policy, parse_show
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package, parse_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import find
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.whole import Asked, gaps

V535 = "535.161.08"
FAMILY = packages_of(V535, "hold")
UBUNTU = Asked("ubuntu", "server", "graphics", KERNEL)


def found(packages: tuple[Package, ...], asked: Asked = UBUNTU) -> tuple[str, ...]:
    driver = find(packages)
    assert driver is not None
    return gaps(packages, driver, asked)


def without(*stems: str) -> tuple[Package, ...]:
    return tuple(p for p in FAMILY if p.name not in {f"{stem}-535-server" for stem in stems})


def with_one(stem: str, **fields: str) -> tuple[Package, ...]:
    return tuple(replace(p, **fields) if p.name == f"{stem}-535-server" else p for p in FAMILY)


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (FAMILY, []),
        (without("nvidia-utils"), ["nvidia-utils-535-server is missing"]),
        (without("nvidia-compute-utils"), ["nvidia-compute-utils-535-server is missing"]),  # the persistence daemon
        (
            with_one("libnvidia-compute", version="535.129.03-0ubuntu0.22.04.1"),
            ["libnvidia-compute-535-server is of version 535.129.03-0ubuntu0.22.04.1"],
        ),
        (with_one("libnvidia-gl", status="half-installed"), []),  # for the step repair
        (with_one("nvidia-utils", status="config-files"), ["nvidia-utils-535-server is missing"]),
    ],
)
def test_gaps(packages: tuple[Package, ...], expected: list[str]) -> None:
    assert list(found(packages)) == expected


@pytest.mark.parametrize(("libraries", "missing"), [("compute", 0), ("graphics", 6)])
def test_what_is_wanted_is_what_is_missed(libraries: str, missing: int) -> None:
    """Six packages are graphics' and video's alone: a headless driver is whole where only computing is wanted."""
    headless = without(
        *(stem for stem in STEMS if stem[9:] in ("-decode", "-encode", "-extra", "-fbc1", "-gl") or "xorg" in stem)
    )
    assert len(found(headless, replace(UBUNTU, libraries=libraries))) == missing


def test_prebuilt_modules_are_measured_by_the_same_set() -> None:
    built = (
        *without("nvidia-dkms"),
        Package(f"linux-modules-nvidia-535-server-{KERNEL}", "amd64", "5.15.0-91.101", "hold", "installed"),
    )
    assert found(built) == ()
    assert found(tuple(p for p in built if "utils" not in p.name)) == (
        "nvidia-compute-utils-535-server is missing",
        "nvidia-utils-535-server is missing",
    )


def debian(*names: str, version: str = "535.261.03-1") -> tuple[Package, ...]:
    made = {name: Package(name, "amd64", version, "hold", "installed") for name in names}
    return tuple(made.values())


DEBIAN = Asked("debian", "server", "compute", KERNEL)


def test_debian_s_daemon_has_a_version_of_its_own() -> None:
    family = debian("nvidia-kernel-dkms", "nvidia-smi", "libcuda1")
    daemon = debian("nvidia-persistenced", version="535.171.04-1~deb12u1")
    assert found((*family, *daemon), DEBIAN) == ()
    assert found(family, DEBIAN) == ("nvidia-persistenced is missing",)


def test_the_names_of_nvidia_s_repository_are_as_good() -> None:
    assert found(debian("nvidia-kernel-dkms", "nvidia-driver-cuda"), DEBIAN) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda library: library, ()),
        (
            lambda library: replace(library, version="535.247.01-1"),
            ("nvidia-smi needs libnvidia-ml1 (= 535.261.03-1)",),
        ),
        (lambda library: replace(library, name="bash"), ("nvidia-smi needs libnvidia-ml1 (= 535.261.03-1)",)),
        (lambda library: replace(library, status="unpacked"), ()),
    ],
)
def test_a_dependency_within_the_driver(change: Callable[[Package], Package], expected: tuple[str, ...]) -> None:
    """As after a forced removal; that nobody can do without libc6 is dpkg's matter."""
    smi, *rest = debian("nvidia-smi", "nvidia-kernel-dkms", "libcuda1", "nvidia-persistenced", "libnvidia-ml1")
    smi = replace(smi, depends="libnvidia-ml1 (= 535.261.03-1), libc6 (>= 99)")
    assert found((smi, *rest[:-1], change(rest[-1])), DEBIAN) == expected


@pytest.mark.parametrize("libraries", ["compute", "graphics"])
@pytest.mark.parametrize(
    ("suite", "branch", "release"), [("bookworm", "535", "6.1.0-50-amd64"), ("trixie", "550", "6.12.117+deb13-amd64")]
)
def test_what_is_planned_from_a_real_archive_has_no_gap(
    fixtures: Path, suite: str, branch: str, release: str, libraries: str
) -> None:
    """Debian's own relations, alternatives and virtual names included."""
    text = (fixtures / f"apt/{suite}-show.txt").read_text()
    policy = parse_policy((fixtures / f"apt/{suite}-policy.txt").read_text(), "amd64")
    request = Request("debian", "12", suite, release, branch, libraries=libraries)
    chosen = set(plan(request, make_catalogue(parse_show(text), policy.candidates)).packages)
    stanzas = (stanza for stanza in text.split("\n\n") if stanza.strip())
    status = "\n\n".join(stanza.replace("\n", "\nStatus: hold ok installed\n", 1) for stanza in stanzas)
    packages = tuple(p for p in parse_status(status) if f"{p.name}={p.version}" in chosen)
    assert len(packages) > 15
    assert found(packages, Asked("debian", "server", libraries, release)) == ()
    assert "nvidia-smi is missing" in found(
        tuple(p for p in packages if p.name != "nvidia-smi"), Asked("debian", "server", libraries, release)
    )
