"""modprobe's configuration in modprobe's own order, and edits of one option that leave the rest alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import (
    BLACKLIST_PATH,
    Config,
    load,
    parse,
    parse_command_line,
    render_blacklist,
    with_option,
    without_option,
)

OPTION = "NVreg_EnableGpuFirmware"
DEBIAN = ("nvidia-current", "nvidia")
UBUNTU = ("nvidia", "nvidia")


def tree(root: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n# options a b=1\n  # x\n", []),
        ("options a b=1\n", [("options", "a", "b=1", 1)]),
        ("\n  options\ta-b  c=1 d=2\n", [("options", "a_b", "c=1 d=2", 2)]),
        ("options a b=1 \\\n  c=2\nblacklist d\n", [("options", "a", "b=1   c=2", 1), ("blacklist", "d", "", 3)]),
        ("options a b=1 \\", [("options", "a", "b=1 ", 1)]),
        ("options\nblacklist\n", []),
        ("install a /bin/sh -c 'x'", [("install", "a", "/bin/sh -c 'x'", 1)]),
        ("blacklist a\r\n", [("blacklist", "a", "", 1)]),
    ],
)
def test_parse(text: str, expected: list[tuple[str, str, str, int]]) -> None:
    assert [(line.verb, line.module, line.rest, line.number) for line in parse(text, "f")] == expected


def test_order_is_that_of_kmod(tmp_path: Path) -> None:
    """The same files given to kmod 30 (``modprobe -c``) came out in this order."""
    root = tree(
        tmp_path,
        {
            "/etc/modprobe.d/nvidia-gsp.conf": f"options nvidia {OPTION}=0\n",
            "/lib/modprobe.d/zz.conf": f"options nvidia {OPTION}=1\n",
            "/lib/modprobe.d/nvidia-gsp.conf": f"options nvidia {OPTION}=7\n",
            "/run/modprobe.d/aa.conf": f"options nvidia {OPTION}=3\n",
            "/etc/modprobe.d/Q.conf": f"options nvidia {OPTION}=Q\n",
            "/etc/modprobe.d/zzz.disabled": f"options nvidia {OPTION}=9\n",
            "/proc/cmdline": f"root=/dev/sda nvidia.{OPTION}=5 quiet\n",
        },
    )
    found = load(root).settings(["nvidia"], OPTION)
    assert [setting.value for setting in found] == ["Q", "3", "0", "1", "5"]
    assert found[3].place == "/lib/modprobe.d/zz.conf:1"


def test_options_of_the_alias_come_last(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "/etc/modprobe.d/a.conf": f"options nvidia {OPTION}=1 x=2\n",
            "/etc/modprobe.d/b.conf": f'options nvidia_current "{OPTION}=0"\n',
        },
    )
    assert [(s.module, s.value) for s in load(root).settings(DEBIAN, OPTION)] == [
        ("nvidia-current", "0"),
        ("nvidia", "1"),
    ]


@pytest.mark.parametrize(
    ("text", "module", "expected"),
    [
        ("blacklist nouveau\n", "nouveau", True),
        ("blacklist nova-core\n", "nova_core", True),
        ("# blacklist nouveau\n", "nouveau", False),
        ("blacklist nouveau_x\n", "nouveau", False),
        ("alias nouveau off\n", "nouveau", True),
        ("alias nouveau other\n", "nouveau", False),
        ("install nouveau /bin/false\n", "nouveau", True),
        ("install nouveau /usr/bin/true\n", "nouveau", True),
        ("install nouveau /sbin/modprobe -i nouveau\n", "nouveau", False),
        ("options nouveau modeset=0\n", "nouveau", False),
    ],
)
def test_blacklisted(text: str, module: str, expected: bool) -> None:
    assert (Config(parse(text, "f")).blacklisted(module) is not None) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modprobe.blacklist=nouveau,nova_core", ["nouveau", "nova_core"]),
        ("modprobe.blacklist=", []),
        ("blacklist=nouveau", []),
        ("", []),
    ],
)
def test_blacklist_of_the_command_line(text: str, expected: list[str]) -> None:
    config = Config(parse_command_line(text))
    assert [name for name in ("nouveau", "nova_core") if config.blacklisted(name)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("install nvidia modprobe -i nvidia-current $CMDLINE_OPTS\n", "nvidia-current"),
        ("install nvidia modprobe -i nvidia-current-open $CMDLINE_OPTS\n", "nvidia-current-open"),
        ("install nvidia /sbin/modprobe --ignore-install nvidia-tesla-470 $CMDLINE_OPTS\n", "nvidia-tesla-470"),
        ("install nvidia-uvm modprobe nvidia ; modprobe -i nvidia-current-uvm $CMDLINE_OPTS\n", None),
        ("install nvidia /bin/false\n", None),
        ("# install nvidia modprobe -i nvidia-current\n", None),
        ("", None),
    ],
)
def test_real_name(text: str, expected: str | None) -> None:
    assert Config(parse(text, "f")).real_name("nvidia") == expected


GUIDE = f"options nvidia {OPTION}=0\n"
HEADER = "# Managed by Ansible (t9k.gpu).\n"


@pytest.mark.parametrize(
    ("text", "names", "value", "expected"),
    [
        (None, UBUNTU, "0", f"{HEADER}options nvidia {OPTION}=0\n"),
        ("", UBUNTU, "1", f"{HEADER}options nvidia {OPTION}=1\n"),
        (None, DEBIAN, "0", f"{HEADER}options nvidia-current {OPTION}=0\n"),
        (GUIDE, UBUNTU, "0", GUIDE),
        (GUIDE, UBUNTU, "1", f"options nvidia {OPTION}=1\n"),
        (GUIDE, DEBIAN, "0", f"options nvidia-current {OPTION}=0\n"),
        (
            f"# mine\noptions nvidia a=1 {OPTION}=0 b=2\n",
            UBUNTU,
            "1",
            f"# mine\noptions nvidia a=1 b=2\noptions nvidia {OPTION}=1\n",
        ),
        (f"{GUIDE}options nvidia {OPTION}=1\n", UBUNTU, "0", GUIDE),
        (f"{GUIDE}{GUIDE}", UBUNTU, "0", f"{GUIDE}{GUIDE}"),
        (f"options nvidia a=1 \\\n {OPTION}=0\n", UBUNTU, "1", f"options nvidia a=1\noptions nvidia {OPTION}=1\n"),
        (f"options other {OPTION}=1\n", UBUNTU, "0", f"options other {OPTION}=1\noptions nvidia {OPTION}=0\n"),
        ("options nvidia a=1 \\\n b=2", UBUNTU, "0", f"options nvidia a=1 \\\n b=2\noptions nvidia {OPTION}=0\n"),
    ],
)
def test_with_option(text: str | None, names: tuple[str, ...], value: str, expected: str) -> None:
    assert with_option(text, names, OPTION, value) == expected
    assert with_option(expected, names, OPTION, value) == expected


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        (None, UBUNTU, None),
        (GUIDE, UBUNTU, None),
        (HEADER + GUIDE, UBUNTU, None),
        (GUIDE, DEBIAN, None),
        ("# only a comment\n", UBUNTU, "# only a comment\n"),
        (f"options nvidia a=1 {OPTION}=0\n", UBUNTU, "options nvidia a=1\n"),
        (f"{GUIDE}blacklist nouveau\n", UBUNTU, "blacklist nouveau\n"),
        (f"options other {OPTION}=0\n", UBUNTU, f"options other {OPTION}=0\n"),
    ],
)
def test_without_option(text: str | None, names: tuple[str, ...], expected: str | None) -> None:
    assert without_option(text, names, OPTION) == expected
    assert without_option(expected, names, OPTION) == expected


def test_our_blacklist_blacklists(tmp_path: Path) -> None:
    config = load(tree(tmp_path, {BLACKLIST_PATH: render_blacklist()}))
    assert config.blacklisted("nouveau") and config.blacklisted("nova_core")
    assert config.settings(["nouveau"], "modeset")[0].value == "0"
    assert "nouveau" not in render_blacklist(("nova_core",))


def test_nothing_there_and_huge(tmp_path: Path) -> None:
    assert load(str(tmp_path)).lines == ()
    root = tree(tmp_path, {"/etc/modprobe.d/a.conf": "options x y=1\n" * 50_000 + "\x00\xff blacklist\n"})
    assert len(load(root).settings(["x"], "y")) == 50_000
