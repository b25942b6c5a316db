"""A private world for apt: what lies in it, which commands see it, and that nothing of it is left."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import preview as debian_preview
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import preview, stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

OWN = "/etc/apt/sources.list.d/t9k-gpu-driver.sources"

EXTRA = Entry(("http://mirror.internal/cuda/",), ("/",), (), "/key.asc")
UPDATE = ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"]


class Commands:
    """Stands in for the node's commands and notes them; looks into the private folder while it is there."""

    def __init__(self, rc: int = 0, stderr: str = "") -> None:
        self.rc, self.stderr = rc, stderr
        self.calls: list[list[str]] = []
        self.files: dict[str, str] = {}
        self.place = Path("/nowhere")
        self.stdin: str | None = None
        self.timeouts: list[int | None] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.calls.append(argv)
        self.timeouts.append(timeout_s)
        self.stdin = stdin
        if "update" in argv:
            self.place = Path(argv[1].partition("=")[2]).parent
            files = (path for path in self.place.rglob("*") if path.is_file())
            self.files = {str(path.relative_to(self.place)): path.read_text() for path in files}
        return Result(tuple(argv), self.rc, "", self.stderr)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's own apt folders, in the place of /etc/apt/sources.list.d and /var/lib/apt/lists."""
    names = {"/etc/apt/sources.list.d": "parts", "/var/lib/apt/lists": "lists", "/etc/apt/auth.conf.d": "auth"}
    places = {path: tmp_path / name for path, name in names.items()}
    for path in places.values():
        path.mkdir()
    (tmp_path / "parts/debian.sources").write_text("debian")
    (tmp_path / "parts/t9k-gpu-driver.sources").write_text("what an earlier run added")
    (tmp_path / "parts/gone.list").symlink_to("/nowhere/at-all")
    (tmp_path / "lists/x_InRelease").write_text("a list")
    (tmp_path / "lists/lock").write_text("")
    (tmp_path / "lists/partial").mkdir()
    (tmp_path / "lists/partial/half").write_text("half a list")
    real = debian_preview._copy
    monkeypatch.setattr(
        debian_preview, "_copy", lambda folder, place, leave_out: real(str(places[folder]), place, leave_out)
    )
    return tmp_path


def test_what_lies_there(node: Path) -> None:
    run = Commands()
    with preview(run, {OWN: EXTRA}, [OWN]):
        assert run.place.parent == Path("/var/tmp")
        assert run.place.stat().st_mode & 0o777 == 0o755  # apt fetches as the user _apt
        assert (run.place / "lists/partial").is_dir()
        assert (run.place / "cache/archives/partial").is_dir()
    found = {
        "apt.conf",
        "auth/t9k-gpu-driver.conf",
        "parts/debian.sources",
        "parts/t9k-gpu-driver.sources",
        "lists/x_InRelease",
    }
    assert set(run.files) == found
    assert run.files["parts/t9k-gpu-driver.sources"] == stanza(EXTRA)
    assert run.files["parts/debian.sources"] == "debian"
    for setting, folder in {
        "Dir::Etc::SourceParts": "parts",
        "Dir::Etc::netrcparts": "auth",
        "Dir::State::Lists": "lists",
        "Dir::Cache": "cache",
    }.items():
        assert f'{setting} "{run.place}/{folder}";' in run.files["apt.conf"]


def test_a_password_is_where_apt_alone_looks(node: Path) -> None:
    (node / "auth/site.conf").write_text("the site's own")
    run = Commands()
    with preview(run, {OWN: replace(EXTRA, uris=("http://gpu:hunter2@mirror.internal/cuda/",))}, [OWN]):
        assert (run.place / "auth").stat().st_mode & 0o777 == 0o700
    secret = [name for name, text in run.files.items() if "hunter2" in text]
    assert secret == ["auth/t9k-gpu-driver.conf"]
    assert run.files["auth/site.conf"] == "the site's own"
    assert "hunter2" not in str(run.calls)


def test_a_key_whose_address_has_a_password_is_refused(node: Path) -> None:
    run = Commands()
    key = "https://gpu:hunter2@mirror.internal/key.asc"
    with pytest.raises(GpuError, match="plain address") as refused, preview(
        run, {OWN: replace(EXTRA, signed_by=key)}, [OWN]
    ):
        pytest.fail("the key was fetched")
    assert "hunter2" not in f"{refused.value} {run.calls}"


def test_without_an_entry_the_collections_own_source_is_not_seen(node: Path) -> None:
    run = Commands()
    with preview(run, {}, [OWN]):
        pass
    assert set(run.files) == {"apt.conf", "auth/t9k-gpu-driver.conf", "parts/debian.sources", "lists/x_InRelease"}


def test_a_node_without_these_folders(node: Path) -> None:
    shutil.rmtree(node / "parts")
    shutil.rmtree(node / "lists")
    run = Commands()
    with preview(run, {OWN: EXTRA}, [OWN]):
        assert (run.place / "lists/partial").is_dir()
    assert set(run.files) == {"apt.conf", "auth/t9k-gpu-driver.conf", "parts/t9k-gpu-driver.sources"}


def test_only_apts_commands_see_it(node: Path) -> None:
    run = Commands()
    with preview(run, {OWN: EXTRA}, [OWN]) as previewing:
        previewing(["apt-cache", "show", "x"], timeout_s=7)
        previewing(["dpkg", "--print-architecture"], stdin="text")
        assert run.stdin == "text"
        configured = f"--config-file={run.place}/apt.conf"
    assert run.calls == [
        [UPDATE[0], configured, *UPDATE[1:]],
        ["apt-cache", configured, "show", "x"],
        ["dpkg", "--print-architecture"],
    ]
    assert run.timeouts == [debian_preview.UPDATE_TIMEOUT_S, 7, None]


def test_nothing_is_left(node: Path) -> None:
    before = sorted(path.name for path in node.rglob("*"))
    run = Commands()
    with pytest.raises(KeyError), preview(run, {OWN: EXTRA}, [OWN]):
        assert run.place.is_dir()
        raise KeyError
    assert not run.place.exists()
    assert sorted(path.name for path in node.rglob("*")) == before


@pytest.mark.parametrize(
    ("stderr", "found"),
    [
        ("W: signature\nnoise\nE: Failed to fetch http://x\n", "W: signature E: Failed to fetch http://x"),
        ("", "apt-get update ended with 100"),
    ],
)
def test_an_update_that_fails_is_an_error_and_leaves_nothing(node: Path, stderr: str, found: str) -> None:
    run = Commands(100, stderr)
    with pytest.raises(GpuError) as error, preview(run, {OWN: EXTRA}, [OWN]):
        pytest.fail("apt has no lists")
    assert (error.value.wanted, error.value.found) == ("fresh package lists", found)
    assert not run.place.exists()


@pytest.mark.needs("apt-config")
def test_apt_takes_the_configuration_and_forgets_the_hooks(node: Path) -> None:
    """An update's hooks write stamps and caches on the node; a preview must not."""
    hooks = node / "hooks.conf"
    hooks.write_text('APT::Update::Post-Invoke {"touch /x";};\nAPT::Update::Pre-Invoke {"touch /y";};\n')
    run = Commands()
    with preview(run, {OWN: EXTRA}, [OWN]):
        argv = ["apt-config", f"--config-file={run.place}/apt.conf", "dump"]
        done = subprocess.run(argv, env={"APT_CONFIG": str(hooks)}, capture_output=True, text=True, check=True)
    assert f'dir::state::lists "{run.place}/lists";' in done.stdout.lower()
    assert re.findall(r"^APT::Update::\w+-Invoke.*::.*$", done.stdout, re.MULTILINE) == []
