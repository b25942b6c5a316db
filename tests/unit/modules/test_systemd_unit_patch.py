"""The module: set, check, again, refuse. systemd's answers come from a table; the files are real."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.modules import systemd_unit_patch

NAME = "nvidia-persistenced.service"
FLAG = "--no-persistence-mode"
WITH = f"/usr/bin/nvidia-persistenced --user nvidia-persistenced {FLAG} --verbose"
WITHOUT = "/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose"


class LeftError(Exception):
    """What the module would have printed."""


class Host:
    """A root with one packaged unit, and systemd as a table of answers."""

    def __init__(self, root: Path, capture: Path) -> None:
        self.root = root
        self.vendor = self.write(f"lib/systemd/system/{NAME}", capture.read_text())
        digest = hashlib.md5(self.vendor.read_bytes()).hexdigest()
        self.write(
            "var/lib/dpkg/info/nvidia-compute-utils-525-server.md5sums", f"{digest}  lib/systemd/system/{NAME}\n"
        )
        self.drop_in = root / f"etc/systemd/system/{NAME}.d/50-t9k-gpu.conf"
        self.shown: dict[str, str] = {}
        self.ran: list[list[str]] = []
        self.reload_rc = 0

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def run(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.ran.append(argv)
        if argv[1] == "daemon-reload":
            return Result(tuple(argv), self.reload_rc, "", "no bus")
        text = self.shown.get(argv[-1])
        return Result(tuple(argv), 0 if text is not None else 1, text or "", "")


@pytest.fixture
def host(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, fixtures / "a40-x7-525/nvidia-persistenced.service")

    def leave(module: AnsibleModule, **result: Any) -> None:
        raise LeftError(result)

    monkeypatch.setattr(systemd_unit_patch, "ROOT", str(tmp_path))
    monkeypatch.setattr(systemd_unit_patch, "runner", lambda module: made.run)
    monkeypatch.setattr(AnsibleModule, "exit_json", leave)
    monkeypatch.setattr(AnsibleModule, "fail_json", lambda module, msg, **rest: leave(module, msg=msg, failed=True))
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: warnings.append(text))
    warnings.clear()
    return made


warnings: list[str] = []


def call(check: bool = False, **params: Any) -> dict[str, Any]:
    arguments = {"unit": NAME, "_ansible_check_mode": check, **params}
    with patch_module_args(arguments), pytest.raises(LeftError) as left:
        systemd_unit_patch.main()
    return dict(left.value.args[0])


def test_set_check_again(host: Host) -> None:
    vendor = host.vendor.read_text()
    checked = call(check=True, remove=[FLAG])
    assert checked["changed"] and checked["reload_needed"] and not host.drop_in.parent.exists()
    done = call(remove=[FLAG])
    assert done == checked
    assert (done["command_before"], done["command_after"]) == ([WITH], [WITHOUT])
    assert done["enable_possible"] is False and done["vendor_edited"] is False
    assert host.drop_in.read_text().endswith(f"ExecStart=\nExecStart={WITHOUT}\n")
    assert host.drop_in.stat().st_mode & 0o777 == 0o644
    assert done["diff"][0]["after"] == host.drop_in.read_text()
    again = call(remove=[FLAG])
    assert not again["changed"] and not again["reload_needed"] and again["diff"] == []
    assert again["command_before"] == again["command_after"] == [WITHOUT]
    assert host.vendor.read_text() == vendor
    assert not [argv for argv in host.ran if argv[1] != "show"]


def test_taken_back(host: Host) -> None:
    call(remove=[FLAG])
    assert call(check=True, state="absent")["changed"] and host.drop_in.exists()
    assert call(state="absent")["command_after"] == [WITH]
    assert not host.drop_in.parent.exists()
    assert not call(state="absent")["changed"]


def test_foreign_drop_in_stays(host: Host) -> None:
    call(remove=[FLAG])
    other = host.write(f"etc/systemd/system/{NAME}.d/10-other.conf", "[Service]\nNice=5\n")
    assert call(state="absent")["changed"]
    assert other.exists() and not host.drop_in.exists()


def test_upgrade_that_drops_the_flag_removes_the_drop_in(host: Host) -> None:
    call(remove=[FLAG])
    host.vendor.write_text(host.vendor.read_text().replace(f" {FLAG}", ""))
    done = call(remove=[FLAG])
    assert done["changed"] and not host.drop_in.exists()
    assert done["units"][0]["drop_in_present"] is False


def test_hand_edited_vendor_file(host: Host) -> None:
    host.vendor.write_text(host.vendor.read_text().replace(f" {FLAG}", ""))
    done = call(remove=[FLAG])
    assert not done["changed"] and done["vendor_edited"] is True
    assert len(warnings) == 1 and "edited by hand" in warnings[0]


def test_override_in_etc_is_respected(host: Host) -> None:
    host.write(
        f"etc/systemd/system/{NAME}", f"[Service]\nExecStart=/opt/p {FLAG}\n[Install]\nWantedBy=multi-user.target\n"
    )
    done = call(remove=[FLAG])
    assert done["command_after"] == ["/opt/p"] and done["enable_possible"] is True
    assert done["units"][0]["vendor_edited"] is None


@pytest.mark.parametrize(
    "units", [[NAME, NAME], ["nvidia-persistenced", NAME], [NAME, "alias.service"], ["alias", NAME]]
)
def test_given_twice(host: Host, units: list[str]) -> None:
    link = host.root / "etc/systemd/system/alias.service"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../../lib/systemd/system/{NAME}")
    done = call(unit=units, remove=[FLAG])
    assert [each["unit"] for each in done["units"]] == [NAME]
    assert done["changed"] and not call(unit=units, remove=[FLAG])["changed"]


def test_one_bad_unit_changes_nothing(host: Host) -> None:
    done = call(unit=[NAME, "missing"], remove=[FLAG])
    assert done["failed"] and "missing.service" in done["msg"]
    assert not host.drop_in.exists()


def test_missing_and_masked(host: Host) -> None:
    assert call(unit="missing", missing_ok=True)["units"][0]["exists"] is False
    host.write(f"etc/systemd/system/{NAME}", "")
    assert "masked" in call(remove=[FLAG])["msg"]
    done = call(remove=[FLAG], missing_ok=True)
    assert not done["changed"] and done["drop_in"] is None


def test_later_drop_in_is_named(host: Host) -> None:
    host.write(f"etc/systemd/system/{NAME}.d/90-x.conf", f"[Service]\nExecStart=\nExecStart=/bin/x {FLAG}\n")
    done = call(remove=[FLAG])
    assert done["failed"] and "90-x.conf" in done["msg"] and not host.drop_in.exists()
    assert call(remove=[FLAG], drop_in="95-t9k-gpu.conf")["changed"]


def show(command: str = WITH, stale: str = "no", drop_ins: str = "") -> str:
    return (
        f"Id={NAME}\nLoadState=loaded\nNeedDaemonReload={stale}\nDropInPaths={drop_ins}\n"
        f"ExecStart={{ path=/usr/bin/x ; argv[]={command} ; ignore_errors=no ; pid=0 }}\n"
    )


def test_what_systemd_says(host: Host) -> None:
    host.shown[NAME] = show()
    assert call(remove=[FLAG])["changed"] and warnings == []
    host.shown[NAME] = show(stale="yes")
    again = call(remove=[FLAG])
    assert not again["changed"] and again["reload_needed"] and warnings == []
    host.shown[NAME] = show("/bin/other")
    call(remove=[FLAG])
    assert "/bin/other" in warnings[0]


def test_drop_in_of_a_generator_counts(host: Host) -> None:
    host.write("run/systemd/generator/x.d/10-g.conf", f"[Service]\nExecStart=\nExecStart=/bin/g {FLAG}\n")
    host.shown[NAME] = show(f"/bin/g {FLAG}", drop_ins="/run/systemd/generator/x.d/10-g.conf")
    assert call(remove=[FLAG])["command_after"] == ["/bin/g"]


def test_daemon_reload_only_on_change(host: Host) -> None:
    reload = ["systemctl", "daemon-reload"]
    assert call(check=True, remove=[FLAG], daemon_reload=True)["reload_needed"] and reload not in host.ran
    assert call(remove=[FLAG], daemon_reload=True)["reload_needed"] is False
    assert host.ran.count(reload) == 1
    call(remove=[FLAG], daemon_reload=True)
    assert host.ran.count(reload) == 1
    host.reload_rc = 1
    assert "no bus" in call(state="absent", daemon_reload=True)["msg"]
