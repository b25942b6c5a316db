"""Units are read as systemd reads them, and a drop-in appears only where it changes the command."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._linux.systemd_exec import commands, split
from ansible_collections.t9k.gpu.plugins.module_utils._linux.systemd_unit import (
    Unit,
    distinct,
    load,
    loaded_argv,
    parse_show,
    plan,
    vendor_edited,
)

NAME = "nvidia-persistenced.service"
OWN = f"/etc/systemd/system/{NAME}.d/50-t9k-gpu.conf"
FLAG = "--no-persistence-mode"
UBUNTU = f"/usr/bin/nvidia-persistenced --user nvidia-persistenced {FLAG} --verbose"
WITHOUT = "/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose"


def tree(root: Path, files: dict[str, str]) -> str:
    """A host's files below ``root``; a text that starts with -> is a symbolic link."""
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            place.symlink_to(text[2:])
        else:
            place.write_text(text)
    return str(root)


def unit_of(root: Path, files: dict[str, str], name: str = NAME) -> Unit:
    unit = load(name, tree(root, files))
    assert unit is not None
    return unit


def service(*lines: str) -> str:
    return "[Service]\n" + "".join(f"ExecStart={line}\n" for line in lines)


@pytest.mark.parametrize(
    ("file", "needed", "after", "enable_possible"),
    [
        ("ubuntu-server.service", True, WITHOUT, False),
        ("derived-debian.service", False, "/usr/bin/nvidia-persistenced --user nvpd", True),
        ("derived-nvidia-rpm.service", False, "/usr/bin/nvidia-persistenced --verbose", True),
        ("derived-hand-edited.service", False, WITHOUT, False),
    ],
)
def test_vendor_units(
    tmp_path: Path, fixtures: Path, file: str, needed: bool, after: str, enable_possible: bool
) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": (fixtures / "units" / file).read_text()})
    planned = plan(unit, [FLAG], [])
    assert (planned.text is not None) is needed
    assert planned.command_after == (after,)
    assert unit.enable_possible is enable_possible
    if planned.text is not None:
        assert planned.text.endswith(f"[Service]\nExecStart=\nExecStart={after}\n")
        again = plan(unit.with_drop_in(OWN, planned.text), [FLAG], [])
        assert not again.changed
        assert again.command_before == again.command_after == (after,)


@pytest.mark.parametrize(
    ("line", "remove", "add", "after"),
    [
        ("/bin/x -a -b", ["-a"], [], "/bin/x -b"),
        ("/bin/x -a -b -a", ["-a"], [], "/bin/x -b"),
        ("/bin/x   -a\t-b", ["-c"], [], "/bin/x -a -b"),
        ("/bin/x --user=a -b", ["--user"], [], "/bin/x --user=a -b"),
        ("/bin/x --user=a -b", ["--user=a"], [], "/bin/x -b"),
        ("/bin/x --user a -b", ["--user=a"], [], "/bin/x -b"),
        ("/bin/x --user=a -b", ["--user a"], [], "/bin/x -b"),
        ("/bin/x --user a -b", ["--user a"], [], "/bin/x -b"),
        ("/bin/x --user b", ["--user a"], [], "/bin/x --user b"),
        ("/bin/x --user a", [], ["--user=a"], "/bin/x --user a"),
        ("/bin/x", [], ["-v", "--user a"], "/bin/x -v --user a"),
        ("/bin/x -v", [], ["-v"], "/bin/x -v"),
        ("/bin/x --verbose", ["--verb"], [], "/bin/x --verbose"),
        ("-/bin/x -a", ["-a"], [], "-/bin/x"),
        ("!!/bin/x -a", ["-a"], [], "!!/bin/x"),
        ("@/bin/x name -a", ["-a"], [], "@/bin/x name"),
        ("@/bin/x -a -a", ["-a"], [], "@/bin/x -a"),
        ("-@/bin/x name -a", ["name"], [], "-@/bin/x name -a"),
        ("+/bin/x %i -a $ARGS", ["-a"], [], "+/bin/x %i $ARGS"),
        ("/bin/sh -c \"run -a; 'b c'\" -a", ["-a"], [], "/bin/sh -c \"run -a; 'b c'\""),
        ("/bin/x 'a b' -c", ['"a b"'], [], "/bin/x -c"),
        ("/bin/x a\\x20b -c", ['"a b"'], [], "/bin/x -c"),
        ('/bin/x --m="a b" -c', ["-c"], [], '/bin/x --m="a b"'),
        ('/bin/x "a \\" b" -c', ["-c"], [], '/bin/x "a \\" b"'),
        ("/bin/x -a \\; -b", ["-a"], [], "/bin/x \\; -b"),
        ("/bin/x -b", [], ['"two words"'], '/bin/x -b "two words"'),
    ],
)
def test_edit(tmp_path: Path, line: str, remove: list[str], add: list[str], after: str) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service(line)})
    planned = plan(unit, remove, add)
    assert planned.command_after == (after,)
    assert (planned.text is None) is (planned.command_before == planned.command_after)


@pytest.mark.parametrize(
    ("lines", "program", "after"),
    [
        (("/bin/a -x", "/bin/b -x"), None, ("/bin/a", "/bin/b")),
        (("/bin/a -x", "/bin/b -x"), "b", ("/bin/a -x", "/bin/b")),
        (("/bin/a -x", "-/bin/b -x"), "/bin/b", ("/bin/a -x", "-/bin/b")),
        (("/bin/a -x ; /bin/b -x",), None, ("/bin/a", "/bin/b")),
        (("/bin/a -x", "", "/bin/b -x"), None, ("/bin/b",)),
        (("/bin/a -x", ""), None, ()),
    ],
)
def test_several_commands(tmp_path: Path, lines: tuple[str, ...], program: str | None, after: tuple[str, ...]) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service(*lines)})
    assert plan(unit, ["-x"], [], program=program).command_after == after


D = f"{NAME}.d"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ("/bin/v",)),
        ({f"/etc/systemd/system/{NAME}": service("/bin/e")}, ("/bin/e",)),
        ({f"/run/systemd/system/{NAME}": service("/bin/r")}, ("/bin/r",)),
        ({f"/lib/systemd/system/{D}/a.conf": service("", "/bin/d")}, ("/bin/d",)),
        ({f"/lib/systemd/system/{D}/a.conf": service("/bin/d")}, ("/bin/v", "/bin/d")),
        (
            {
                f"/etc/systemd/system/{D}/a.conf": service("", "/bin/1"),
                f"/lib/systemd/system/{D}/b.conf": service("", "/bin/2"),
            },
            ("/bin/2",),
        ),
        (
            {
                f"/etc/systemd/system/{D}/a.conf": service("", "/bin/1"),
                f"/lib/systemd/system/{D}/a.conf": service("", "/bin/2"),
            },
            ("/bin/1",),
        ),
        (
            {
                f"/etc/systemd/system/{D}/a.conf": "->/dev/null",
                f"/lib/systemd/system/{D}/a.conf": service("", "/bin/2"),
            },
            ("/bin/v",),
        ),
        ({"/etc/systemd/system/nvidia-.service.d/a.conf": service("", "/bin/p")}, ("/bin/p",)),
        ({"/etc/systemd/system/service.d/a.conf": service("", "/bin/s")}, ("/bin/s",)),
        (
            {
                "/etc/systemd/system/service.d/a.conf": service("", "/bin/s"),
                f"/lib/systemd/system/{D}/a.conf": service("", "/bin/u"),
            },
            ("/bin/u",),
        ),
        ({f"/etc/systemd/system/{D}/a.txt": service("", "/bin/no")}, ("/bin/v",)),
        ({f"/etc/systemd/system/{D}/a.conf": "[Unit]\nExecStart=/bin/no\n"}, ("/bin/v",)),
        ({f"/etc/systemd/system/{D}/a.conf": "# ExecStart=/bin/no\n;[Service]\n"}, ("/bin/v",)),
        (
            {
                f"/etc/systemd/system/{D}/a.conf": "[Service]\nExecStart=\n"
                "ExecStart = /bin/c \\\n# between\n  -a \\\n  -b\n"
            },
            ("/bin/c -a -b",),
        ),
        ({f"/etc/systemd/system/{D}/a.conf": "[Service]\nExecStart=\nExecStart=/bin/c \\"}, ("/bin/c",)),
    ],
)
def test_what_is_in_effect(tmp_path: Path, files: dict[str, str], expected: tuple[str, ...]) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service("/bin/v"), **files})
    assert tuple(command.text for command in unit.commands) == expected


def test_missing_alias_template_and_mask(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "/lib/systemd/system/real.service": service("/bin/real"),
            "/etc/systemd/system/other.service": "->../../../lib/systemd/system/real.service",
            "/lib/systemd/system/t@.service": service("/bin/t %i"),
            "/etc/systemd/system/t@.service.d/a.conf": service("", "/bin/t2 %i"),
            "/etc/systemd/system/gone.service": "->/dev/null",
            "/lib/systemd/system/gone.service": service("/bin/gone"),
            "/run/other/generated.service": service("/bin/g"),
        },
    )
    assert load("nothing", root) is None
    alias = load("other", root)
    assert alias is not None and alias.name == "real.service"
    assert plan(alias, [], ["-a"]).path == "/etc/systemd/system/real.service.d/50-t9k-gpu.conf"
    instance = load("t@x", root)
    assert instance is not None and instance.name == "t@x.service"
    assert [command.text for command in instance.commands] == ["/bin/t2 %i"]
    masked = load("gone", root)
    assert masked is not None and masked.masked
    generated = load("generated", root, "/run/other/generated.service")
    assert generated is not None and generated.commands[0].program == "/bin/g"


def test_drop_in_that_only_systemd_knows(tmp_path: Path) -> None:
    control = f"/run/systemd/generator/{D}/60-x.conf"
    root = tree(tmp_path, {f"/lib/systemd/system/{NAME}": service("/bin/v"), control: service("", "/bin/g")})
    unit = load(NAME, root, None, (control,))
    assert unit is not None and [command.text for command in unit.commands] == ["/bin/g"]


def test_vendor_line_no_longer_needs_it(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service(WITHOUT), OWN: service("", WITHOUT)})
    planned = plan(unit, [FLAG], [])
    assert planned.changed and planned.text is None
    assert planned.command_before == planned.command_after == (WITHOUT,)


def test_taken_back(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service(UBUNTU), OWN: service("", WITHOUT)})
    planned = plan(unit, [], [])
    assert planned.text is None
    assert (planned.command_before, planned.command_after) == ((WITHOUT,), (UBUNTU,))


@pytest.mark.parametrize(
    ("lines", "files", "remove", "add", "says"),
    [
        ((UBUNTU,), {f"/etc/systemd/system/{D}/90-x.conf": service("", UBUNTU)}, [], ["-z"], "90-x.conf"),
        ((UBUNTU,), {f"/etc/systemd/system/{D}/90-x.conf": service("", "/bin/o -a")}, ["-a"], [], "90-x.conf"),
        (('/bin/x "open',), {}, ["-a"], [], "quotes are closed"),
        (("/bin/x",), {}, ["'open"], [], "quotes are closed"),
        (("/bin/x",), {}, [""], [], "one argument"),
        (("/bin/x",), {}, [], ["a\nExecStart=/bin/evil"], "one argument"),
        (("/bin/x",), {}, ["-a"], ["-a"], "either removed or added"),
        ((), {}, [], ["-a"], "no ExecStart"),
    ],
)
def test_refusals(
    tmp_path: Path, lines: tuple[str, ...], files: dict[str, str], remove: list[str], add: list[str], says: str
) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service(*lines), **files})
    with pytest.raises(GpuError, match=says):
        plan(unit, remove, add)


@pytest.mark.parametrize("drop_in", ["x", "a/b.conf", ".conf/", "a b.conf", ""])
def test_drop_in_names_refused(tmp_path: Path, drop_in: str) -> None:
    unit = unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": service("/bin/x")})
    with pytest.raises(GpuError):
        plan(unit, [], ["-a"], drop_in)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], ("a.service",)),
        (["a", "a.service", "b"], ("a.service", "b.service")),
        (["t@1", "t@"], ("t@.service",)),
        (["t@1", "t@2", "t@1.service"], ("t@1.service", "t@2.service")),
    ],
)
def test_distinct(names: list[str], expected: tuple[str, ...]) -> None:
    assert distinct(names) == expected


@pytest.mark.parametrize("name", ["a.socket", "../a.service", "a b", "", "a.timer"])
def test_names_refused(name: str) -> None:
    with pytest.raises(GpuError):
        distinct([name])


@pytest.mark.parametrize(
    ("listed", "text", "expected"),
    [
        ("lib/systemd/system/", "as packaged", False),
        ("usr/lib/systemd/system/", "as packaged", False),
        ("lib/systemd/system/", "by hand", True),
        ("other/", "by hand", None),
    ],
)
def test_vendor_edited(tmp_path: Path, listed: str, text: str, expected: bool | None) -> None:
    digest = hashlib.md5(b"as packaged").hexdigest()
    root = tree(
        tmp_path,
        {
            f"/lib/systemd/system/{NAME}": text,
            "/var/lib/dpkg/info/nvidia-compute-utils-525-server.md5sums": f"{'0' * 32}  usr/bin/x\n"
            f"{digest}  {listed}{NAME}\n",
            "/var/lib/dpkg/info/bash.md5sums": "",
        },
    )
    assert vendor_edited(f"/lib/systemd/system/{NAME}", root) is expected
    assert vendor_edited("/lib/systemd/system/missing.service", root) is None


SHOW = (
    "ExecStart={ path=/bin/a ; argv[]=/bin/a -x ; b ; ignore_errors=no ; start_time=[n/a] ; pid=0 }\n"
    "ExecStart={ path=/bin/b ; argv[]=/bin/b ; ignore_errors=yes ; start_time=[n/a] ; pid=0 }\n"
    "FragmentPath=/lib/systemd/system/a.service\nDropInPaths=\nNeedDaemonReload=no\nLoadState=loaded\n"
)


def test_show() -> None:
    shown = parse_show(SHOW)
    assert shown["LoadState"] == "loaded"
    assert loaded_argv(shown["ExecStart"]) == ("/bin/a -x ; b", "/bin/b")
    assert parse_show("") == {} and loaded_argv("") == ()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("   ", []),
        ("a b", ["a", "b"]),
        ("a'b c'd", ["ab cd"]),
        ('""', [""]),
        (r'"\t\x41\101\s"', ["\tAA "]),
        ("'it\"s'", ['it"s']),
    ],
)
def test_split(text: str, values: list[str]) -> None:
    assert [word.value for word in split(text, "here")] == values


def test_command_as_systemd_shows_it() -> None:
    (command,) = commands(("@-/bin/x 'my name' \"a b\"",), "here")
    assert command.program == "/bin/x"
    assert command.argv == "my name a b"


def test_huge_and_broken_text(tmp_path: Path) -> None:
    huge = "[Service]\n" + "Environment=A=b\n" * 50_000 + "ExecStart=/bin/x\n]broken[\n=\n"
    assert unit_of(tmp_path, {f"/lib/systemd/system/{NAME}": huge}).to_dict() == {
        "name": NAME,
        "fragment": f"/lib/systemd/system/{NAME}",
        "drop_ins": [],
        "exec_start": ["/bin/x"],
        "enable_possible": False,
        "masked": False,
    }
