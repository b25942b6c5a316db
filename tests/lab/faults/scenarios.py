"""The table of scenarios. A new one is a row; the quick ones run with every check, the others in ``./dev slow``."""

from __future__ import annotations

from tests.lab.faults import strike
from tests.lab.faults.scenario import Point, Scenario

#: The lab's hosts are containers: there are no headers for their kernel, and no kubelet that would come back.
VARIABLES = {"driver_headers": "ignore", "driver_branch": "525"}
APT = "Install the driver in one transaction"

QUICK = (
    Scenario("controller killed while apt works", Point("in", "install", 2, APT), strike.controller_killed),
    Scenario("another program has apt's lock", Point("before", "install"), strike.apt_lock_held, survives=True),
)

SLOW = (
    Scenario("dpkg broken off", Point("in", "install", 0, APT), strike.dpkg_broken_off),
    Scenario("power cut while apt works", Point("in", "install", 2, APT), strike.power_cut),
    Scenario("power cut before the hold", Point("before", "hold"), strike.power_cut),
    Scenario("power cut while the initramfs is built", Point("in", "initramfs", 1), strike.power_cut),
    Scenario("power cut instead of the reboot", Point("before", "reboot"), strike.power_cut),
    Scenario("controller killed after the reboot", Point("after", "reboot"), strike.controller_killed),
    Scenario("ssh lost while apt works", Point("in", "install", 1, APT), strike.ssh_lost),
    Scenario("disk full", Point("before", "install"), strike.disk_full, says="No space left on device"),
    Scenario("a package is gone from the archive", Point("before", "install"), strike.package_gone, says="pool/"),
    Scenario(
        "the node does not come back",
        *(Point("before", "reboot"), strike.node_not_back),
        variables={"driver_reboot_timeout": 40},
        says="Timed out waiting for last boot time check",
    ),
    *(
        Scenario(f"{name} at random moment {seed}", Point("random", delay_s=40), struck, survives=None, seed=seed)
        for seed in (1, 2, 3)
        for name, struck in (("controller killed", strike.controller_killed), ("power cut", strike.power_cut))
    ),
)

#: On a virtual machine, whose disk loses what was not written to it yet; minutes each, since it is emulated.
MACHINE = (
    Scenario("power cut while apt unpacks or dkms builds", Point("in", "install", 75, APT), strike.power_cut),
    Scenario("power cut while the initramfs is built", Point("in", "initramfs", 3), strike.power_cut),
)

CLUSTER = (
    Scenario("the API server is gone before the drain", Point("before", "drain"), strike.api_gone),
    Scenario("the API server is gone before the node is let in", Point("before", "uncordon"), strike.api_gone),
    Scenario("controller killed on a drained node", Point("before", "install"), strike.controller_killed),
    Scenario("controller killed before the node is let in", Point("before", "uncordon"), strike.controller_killed),
)
