"""The written guide's node: driver held, persistence mode on by drop-in, GSP off, all GPUs there."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://ubuntu-a40"]


def test_all_gpus_are_listed(host: Host) -> None:
    assert len(host.check_output("nvidia-smi -L").splitlines()) == 7


def test_the_metapackage_and_its_libraries_are_held(host: Host) -> None:
    names = host.check_output("dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n'").splitlines()
    driver = [name for name in names if "nvidia" in name]
    assert len(driver) > 10
    assert all(name.startswith("hi ") for name in driver)


def test_persistence_mode_comes_from_a_drop_in_not_from_the_vendors_file(host: Host) -> None:
    vendor = host.file("/lib/systemd/system/nvidia-persistenced.service").content_string
    effective = host.check_output("systemctl show --property=ExecStart nvidia-persistenced.service")
    assert "--no-persistence-mode" in vendor
    assert "--no-persistence-mode" not in effective
    assert "--user nvidia-persistenced" in effective
    assert "Enabled" in host.check_output("nvidia-smi -q -x | grep persistence_mode")


def test_gsp_is_off_by_what_runs_not_by_params_alone(host: Host) -> None:
    assert "<gsp_firmware_version>N/A</gsp_firmware_version>" in host.check_output("nvidia-smi -q -x")
    assert "EnableGpuFirmware: 0" in host.check_output("cat /proc/driver/nvidia/params")


def test_loaded_module_is_the_version_asked_for(host: Host) -> None:
    assert "525.105.17" in host.file("/proc/driver/nvidia/version").content_string
