"""The family of a driver, walked by dependency: every member at the version that fits."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, Catalogue, Relation, make_catalogue
from ansible_collections.t9k.gpu.plugins.module_utils._driver.closure import closure

OLD, NEW = "525.105.17-0ubuntu1", "525.147.05-0ubuntu1"


def package(name: str, version: str, *depends: Relation, **more: tuple[Relation, ...]) -> Available:
    return Available(name, version, depends=tuple((relation,) for relation in depends), **more)


def both(name: str, *depends: Relation) -> list[Available]:
    return [package(name, version, *depends) for version in (NEW, OLD)]


def names(roots: list[Available], catalogue: Catalogue, version: str) -> list[str]:
    return [f"{entry.name}={entry.version}" for entry in closure(roots, catalogue, version)]


@pytest.mark.parametrize(
    ("operator", "bound"),
    [
        ("", None),  # as nvidia-driver-* names its dkms package
        (">=", OLD),  # as it names nvidia-kernel-common-*
        (">=", "500"),
    ],
)
def test_a_loose_dependency_takes_the_drivers_own_version(operator: str, bound: str | None) -> None:
    """apt alone would take the newest, and the driver would be of two versions."""
    need: Relation = ("nvidia-kernel-common-525", operator, bound)
    root = package("nvidia-driver-525", OLD, need)
    catalogue = make_catalogue([root, *both("nvidia-kernel-common-525")])
    assert names([root], catalogue, "525.105.17") == [f"nvidia-driver-525={OLD}", f"nvidia-kernel-common-525={OLD}"]


def test_a_bound_that_the_own_version_breaks_is_kept() -> None:
    root = package("nvidia-driver-525", OLD, ("nvidia-kernel-common-525", ">=", NEW))
    catalogue = make_catalogue([root, *both("nvidia-kernel-common-525")])
    assert names([root], catalogue, "525.105.17")[1:] == [f"nvidia-kernel-common-525={NEW}"]


def test_every_member_once_also_in_a_circle() -> None:
    root = package("nvidia-driver-525", NEW, ("libnvidia-gl-525", "=", NEW), ("nvidia-utils-525", "=", NEW))
    library = package("libnvidia-gl-525", NEW, ("nvidia-utils-525", "", None))
    utils = package("nvidia-utils-525", NEW, ("libnvidia-gl-525", "", None), ("libc6", ">=", "2.35"))
    catalogue = make_catalogue([root, library, utils, package("libc6", "2.35")])
    assert names([root], catalogue, "525.147.05") == [
        f"nvidia-driver-525={NEW}",
        f"libnvidia-gl-525={NEW}",
        f"nvidia-utils-525={NEW}",
    ]
