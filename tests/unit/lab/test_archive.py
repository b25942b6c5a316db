"""The table of facts makes an archive that says what its sources say, and hangs together."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Available,
    Catalogue,
    catalogue,
    make_catalogue,
    parse_show,
)
from ansible_collections.t9k.gpu.plugins.module_utils._driver.closure import fulfils
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern
from tests.lab.archive import cuda, deb, host, repository, shown, table, ubuntu
from tests.lab.archive.deb import Package
from tests.lab.archive.table import TableError, Upload

DAYS = {
    "jammy": ("2022-12-15", "2023-12-01", "2024-05-20", "2024-07-01", "2026-09-15"),
    "noble": ("2026-06-15", "2026-09-15"),
}
MOMENTS = [(series, day) for series, days in DAYS.items() for day in days]


def newest(series: str, day: str, name: str, pocket: str = "updates") -> Package | None:
    found = ubuntu.moment(ubuntu.entries(series), day)[pocket]
    return next((each for each in found if each.name == name), None)


def field(series: str, day: str, name: str, key: str) -> str:
    package = newest(series, day, name)
    assert package is not None, f"{series} has no {name} on {day}"
    return package.fields.get(key, "")


@pytest.mark.parametrize(
    ("series", "day", "name", "depends"),
    [
        # the GPU Operator's pages of 22.9.2 and of precompiled containers
        (
            "jammy",
            "2022-12-15",
            "linux-modules-nvidia-515-server-5.15.0-56-generic",
            "linux-image-5.15.0-56-generic | linux-image-unsigned-5.15.0-56-generic, "
            "linux-signatures-nvidia-5.15.0-56-generic (= 5.15.0-56.62+1), "
            "linux-objects-nvidia-515-server-5.15.0-56-generic (= 5.15.0-56.62+1), "
            "nvidia-kernel-common-515-server (<= 515.86.01-1), nvidia-kernel-common-515-server (>= 515.86.01)",
        ),
        (
            "jammy",
            "2024-05-20",
            "linux-modules-nvidia-525-server-5.15.0-69-generic",
            "linux-image-5.15.0-69-generic | linux-image-unsigned-5.15.0-69-generic, "
            "linux-signatures-nvidia-5.15.0-69-generic (= 5.15.0-69.76), "
            "linux-objects-nvidia-525-server-5.15.0-69-generic (= 5.15.0-69.76), "
            "nvidia-kernel-common-525-server (>= 525.85.12)",
        ),
        # a host of 2026-09-18: open modules come without objects and signatures, and with both bounds
        (
            "noble",
            "2026-09-15",
            "linux-modules-nvidia-595-open-7.0.0-31-generic",
            "linux-image-7.0.0-31-generic | linux-image-unsigned-7.0.0-31-generic, "
            "nvidia-kernel-common-595 (<= 595.91.07-1), nvidia-kernel-common-595 (>= 595.91.07)",
        ),
        # packages.ubuntu.com/noble-updates/nvidia-dkms-595, but for the order
        (
            "noble",
            "2026-06-15",
            "nvidia-dkms-595",
            "dkms, nvidia-kernel-source-595 (<= 595.71.05-1), nvidia-kernel-source-595 (>= 595.71.05), "
            "nvidia-kernel-common-595 (<= 595.71.05-1), nvidia-kernel-common-595 (>= 595.71.05)",
        ),
        ("jammy", "2026-06-15", "nvidia-fabricmanager-580", "nvidia-kernel-common-580-server-580.159.03"),
        ("jammy", "2026-09-15", "linux-modules-nvidia-550-server-generic", "linux-modules-nvidia-580-server-generic"),
        ("jammy", "2026-09-15", "nvidia-driver-550-server", "nvidia-driver-570-server"),
        ("jammy", "2024-05-20", "nvidia-driver-515-server", "nvidia-driver-525-server"),
    ],
)  # fmt: skip
def test_relations_are_those_of_their_source(series: str, day: str, name: str, depends: str) -> None:
    assert field(series, day, name, "Depends") == depends


def test_both_bounds_only_on_open_modules_of_the_same_abi() -> None:
    """What apt named for every package of 5.15.0-106 on one host."""
    names = [f"linux-modules-nvidia-{family}-5.15.0-106-generic" for family in ("535", "535-server", "550-server")]
    bounds = {name: re.findall(r"common-\S+ \((..)", field("jammy", "2024-05-20", name, "Depends")) for name in names}
    assert set(map(tuple, bounds.values())) == {(">=",)}
    for name in names:
        there = name.replace("-5.15", "-open-5.15")
        assert re.findall(r"common-\S+ \((..)", field("jammy", "2024-05-20", there, "Depends")) == ["<=", ">="]


@pytest.mark.parametrize(
    ("day", "meta", "abi", "provides"),
    [
        ("2024-05-20", "535-server-generic", "5.15.0-107-generic", "535.161.08-0ubuntu2.22.04.1"),
        ("2024-07-01", "535-server-generic", "5.15.0-113-generic", "535.183.01-0ubuntu0.22.04.1"),
        ("2026-09-15", "595-generic-hwe-22.04", "6.8.0-138-generic", "595.84-0ubuntu0.22.04.1"),
        ("2024-05-20", "535-server-open-aws", "5.15.0-1061-aws", "535.161.08-0ubuntu2.22.04.1"),
    ],
)
def test_a_flavours_metapackage_follows_its_kernel_and_stands_for_dkms(
    day: str, meta: str, abi: str, provides: str
) -> None:
    depends = field("jammy", day, f"linux-modules-nvidia-{meta}", "Depends")
    family = meta.split("-generic")[0].removesuffix("-aws")
    assert depends.startswith(f"linux-modules-nvidia-{family}-{abi} (= ")
    assert f"(>= {provides.split('-')[0]})" in depends
    found = field("jammy", day, f"linux-modules-nvidia-{meta}", "Provides")
    assert found == f"nvidia-dkms-{family} (= {provides}), nvidia-prebuilt-kernel"


@pytest.mark.parametrize(
    ("name", "summary", "text"),
    [
        ("nvidia-driver-525", "NVIDIA Server Driver metapackage (transitional package)", "Transitional"),
        ("nvidia-driver-550-server", "NVIDIA Server Driver metapackage", "Transitional"),
        ("nvidia-driver-515-server", "Transitional package for nvidia-driver-525-server", ""),
    ],
)
def test_three_ways_to_be_transitional(name: str, summary: str, text: str) -> None:
    package = newest("jammy", "2026-09-15", name)
    assert package is not None
    assert (package.summary, package.section) == (summary, "oldlibs")
    assert package.text.startswith(text)


def test_the_pockets_are_not_of_one_mind_for_a_while() -> None:
    found = {pocket: newest("noble", "2026-06-15", "nvidia-driver-535-server", pocket) for pocket in table.POCKETS}
    assert {pocket: package and package.section for pocket, package in found.items()} == {
        "updates": "libs",
        "security": "oldlibs",
    }


@pytest.mark.parametrize(("series", "day"), MOMENTS)
def test_nothing_that_a_driver_wants_is_missing(series: str, day: str) -> None:
    """A driver of that day can be installed on that day: every name of its own that it wants is there, at that version."""
    offers = [each.package for each in shown.ubuntu_offers(series, day)]
    offer = make_catalogue(parse_show("".join(f"{package.control}\n" for package in offers)))
    drivers = [e for found in offer.entries.values() for e in found if not e.name.startswith("linux-")]
    assert len(drivers) > 15
    assert [(e.name, group) for e in drivers for group in e.depends if not _there(group, offer)] == []


def _there(group: tuple[tuple[str, str, str], ...], offer: Catalogue) -> bool:
    foreign = ("adduser",)
    return any(r[0] in foreign or any(fulfils(e, r) for e in _named(r[0], offer)) for r in group)


def _named(name: str, offer: Catalogue) -> list[Available]:
    return [*offer.versions(name), *offer.providers(name)]


@pytest.mark.parametrize(("day", "there", "gone"), [
    ("2025-11-30", {"nvidia-dkms-580-open", "cuda-drivers-580", "nvidia-driver-pinning-580"}, {"nvidia-dkms-open"}),
    ("2026-01-15", {"nvidia-dkms-580-open", "nvidia-dkms-open", "libnvidia-compute", "nvlink5"}, {"nvidia-open-590"}),
])  # fmt: skip
def test_the_cuda_repository_before_and_after_590(day: str, there: set[str], gone: set[str]) -> None:
    names = {package.name for package in cuda.packages(day)}
    assert there <= names
    assert not gone & names


def test_the_newest_of_nvidias_metas_takes_whatever_is_newer() -> None:
    found = [each for each in cuda.packages("2026-09-15") if each.name == "nvidia-open"]
    assert [each.fields["Depends"] for each in found if each.version.startswith("59")] == [
        "nvidia-driver-open (>= 590.48.01)",
        "nvidia-driver-open (>= 595.71.05)",
    ]


@pytest.mark.parametrize("day", ["2025-11-30", "2026-09-15"])
def test_no_file_of_one_driver_is_in_two_packages(day: str) -> None:
    """dpkg would refuse the second of them. Pinning packages conflict with each other, so that one at most is there."""
    owners: dict[tuple[str, str], list[str]] = {}
    for package in cuda.packages(day):
        for path in set(package.files) - {cuda.PIN}:
            owners.setdefault((package.version, path), []).append(package.name)
    assert not {key: names for key, names in owners.items() if len(names) > 1}


def test_a_tests_own_kernel_stands_in_for_one_of_the_table() -> None:
    every = ubuntu.moment(ubuntu.entries("jammy", host.releases("6.18.5-lab")), "2024-05-20")["updates"]
    names = {package.name for package in every}
    assert {"linux-headers-6.18.5-lab", "linux-modules-nvidia-535-server-open-6.18.5-lab"} <= names
    assert not [name for name in names if name.endswith("5.15.0-106-generic")]


@pytest.mark.parametrize(
    ("own", "later"),
    [
        ("6.18.5-lab", "6.18.6-lab"),
        ("6.1.0-30-amd64", "6.1.0-31-amd64"),
        ("6.12.57+deb13-amd64", "6.12.58+deb13-amd64"),
        ("5.15.0-106-generic", "5.15.0-107-generic"),
    ],
)
def test_kernels_after_it_are_later(own: str, later: str) -> None:
    assert host.releases(own)["5.15.0-107-generic"] == later


def test_the_same_bytes_twice_and_each_where_the_index_says() -> None:
    found = ubuntu.moment(ubuntu.entries("jammy"), "2023-12-01")
    files = repository.pockets("jammy", {"Origin": "Ubuntu"}, found)
    assert files == repository.pockets("jammy", {"Origin": "Ubuntu"}, found)
    index = files["dists/jammy-updates/restricted/binary-amd64/Packages"].decode()
    paths = re.findall(r"^Filename: (.*)$", index, re.MULTILINE)
    assert len(paths) > 50
    assert set(paths) <= set(files)
    assert b"restricted/binary-amd64/Packages" in files["dists/jammy-security/Release"]


def test_apt_caches_text_is_read_as_a_hosts_is() -> None:
    offer = catalogue(shown.AptCache(shown.ubuntu_offers("jammy", "2024-05-20")), apt_pattern("5.15.0-69-generic"))
    (driver,) = offer.versions("nvidia-driver-525-server")
    assert driver.origins == (
        "http://archive.ubuntu.com/ubuntu jammy-updates/restricted amd64 Packages",
        "http://security.ubuntu.com/ubuntu jammy-security/restricted amd64 Packages",
    )
    assert offer.candidates["nvidia-driver-535-server"] == "535.161.08-0ubuntu2.22.04.1"
    assert [name for name in offer.entries if name.startswith("linux-modules")] == [
        "linux-modules-nvidia-525-server-5.15.0-69-generic"
    ]


@pytest.mark.parametrize(
    "row", [{"version": "1-1", "date": "yesterday"}, {"version": "1-1", "date": "2024-01-01", "said": "no"}]
)
def test_a_row_that_makes_no_archive_is_refused(row: dict[str, str]) -> None:
    with pytest.raises(TableError):
        Upload.of(row)


def test_deb_is_an_ar_of_three_members_and_the_same_again() -> None:
    package = deb.Package("demo", "1.0-1", {"Depends": "kmod"}, {"usr/bin/demo": "#!/bin/sh\n", "usr/lib/l": "->l.1"})
    data = deb.build(package)
    assert data == deb.build(package)
    assert data.startswith(b"!<arch>\ndebian-binary")
    members = {name: data.index(name) for name in (b"control.tar.gz", b"data.tar.gz")}
    content = data[members[b"data.tar.gz"] + 60 :]
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        modes = {entry.name: (entry.mode, entry.linkname) for entry in archive if not entry.isdir()}
    assert modes == {"./usr/bin/demo": (0o755, ""), "./usr/lib/l": (0o644, "l.1")}


def test_a_flat_repositorys_index_tells_the_truth() -> None:
    files = repository.flat({"Origin": "NVIDIA"}, [Package("demo", "1:1.0-1")])
    assert f"SHA256: {hashlib.sha256(files['demo_1%3a1.0-1_amd64.deb']).hexdigest()}" in files["Packages"].decode()
    assert hashlib.sha256(files["Packages"]).hexdigest() in files["Release"].decode()


def test_a_host_carries_a_day_its_snapshots_and_a_later_day_that_apt_does_not_know() -> None:
    text = host.sources()
    assert text.index("file:/srv/ubuntu\n") < text.index("file:/srv/snapshot/2023-05-01/ubuntu\n")
    assert host.LATER not in text
    assert "restricted" in text


@pytest.mark.needs("gpg", "gpg-agent", "gpgv")
def test_a_signature_is_the_labs_own_and_of_these_bytes(tmp_path: Path) -> None:
    files = repository.flat({"Origin": "NVIDIA"}, [Package("demo", "1.0-1")])
    (tmp_path / "Release").write_bytes(files["Release"])
    with tempfile.TemporaryDirectory() as short:  # the path of the agent's socket may have 107 characters
        (tmp_path / "key").write_bytes(repository.sign(tmp_path, Path(short) / "g"))
    subprocess.run(["gpg", "--dearmor", "--output", str(tmp_path / "ring"), str(tmp_path / "key")], check=True)
    verify = ["gpgv", "--keyring", str(tmp_path / "ring")]
    assert files["Release"].decode() in (tmp_path / "InRelease").read_text()
    assert subprocess.run([*verify, str(tmp_path / "InRelease")], capture_output=True, check=False).returncode == 0
    (tmp_path / "Release").write_bytes(files["Release"] + b"x")
    detached = [str(tmp_path / "Release.gpg"), str(tmp_path / "Release")]
    assert subprocess.run([*verify, *detached], capture_output=True, check=False).returncode == 1
