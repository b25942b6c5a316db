"""One small file brought to what is wanted: never half written, with its mode, and untouched in check mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file, read_text, under


@pytest.fixture
def module() -> Iterator[Callable[[bool], AnsibleModule]]:
    def make(check: bool = False) -> AnsibleModule:
        with patch_module_args({"_ansible_check_mode": check}):
            return AnsibleModule(argument_spec={}, supports_check_mode=True)

    return make


def test_a_reader_sees_the_old_text_or_the_new(module: Callable[[], AnsibleModule], tmp_path: Path) -> None:
    """Somebody who has the file open keeps the whole old text: the new one is another file in its place."""
    path = tmp_path / "x.conf"
    path.write_text("old\n")
    with path.open() as reader:
        change = apply_file(module(), str(path), "new\n")
        assert reader.read() == "old\n"
    assert (change.changed, path.read_text()) == (True, "new\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.conf"]


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755])
@pytest.mark.parametrize("there", [True, False])
def test_the_mode_is_as_asked(module: Callable[[], AnsibleModule], tmp_path: Path, mode: int, there: bool) -> None:
    path = tmp_path / "folder/x.conf"
    if there:
        path.parent.mkdir()
        path.write_text("old\n")
        path.chmod(0o666)
    apply_file(module(), str(path), "new\n", mode)
    assert path.stat().st_mode & 0o7777 == mode


def test_a_text_that_fails_to_be_written_leaves_the_old_one(
    module: Callable[[], AnsibleModule], tmp_path: Path
) -> None:
    path = tmp_path / "x.conf"
    path.write_text("old\n")
    with pytest.raises(UnicodeEncodeError):
        apply_file(module(), str(path), "half \ud800")
    assert path.read_text() == "old\n"


@pytest.mark.parametrize(
    ("before", "wanted", "changed"),
    [("a", "a", False), ("a", "b", True), ("a", None, True), (None, None, False), (None, "b", True)],
)
@pytest.mark.parametrize("check", [True, False])
def test_set_again_and_check(
    module: Callable[[bool], AnsibleModule],
    tmp_path: Path,
    before: str | None,
    wanted: str | None,
    changed: bool,
    check: bool,
) -> None:
    path = tmp_path / "x.conf"
    if before is not None:
        path.write_text(before)
    assert apply_file(module(check), str(path), wanted).changed is changed
    assert read_text(path) == (before if check else wanted)


@pytest.mark.parametrize("place", ["nothing", ".", "x.conf/below"])
def test_what_cannot_be_read_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "x.conf").write_text("x")
    assert read_text(tmp_path / place) is None


def test_under_a_folder_of_captures() -> None:
    assert under("/captures", "/etc/apt") == Path("/captures/etc/apt")
