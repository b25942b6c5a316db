"""Bring the hosts of a lab up and take them down."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.lab.hosts import archives, image, inventory, machine, network, podman
from tests.lab.hosts.inventory import Address
from tests.lab.hosts.vm import lifecycle as virtual
from tests.lab.log import LabError
from tests.lab.spec import Host
from tests.lab.state import Lab

LABEL = "t9k.gpu.lab"
#: An emulated machine boots in 15 s on a quiet machine and in minutes on one that has six times its load.
WAIT_S = {"container": 180.0, "vm": 600.0}
ALL_COMPONENTS = (
    "for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources; do [ ! -e $list ] || sed -Ei "
    "'s/^(deb .* main|Components: main)$/\\1 contrib non-free non-free-firmware/' $list; done"
)
# A host bind-mounts its own boot id and stand-ins at boot; the machine's mandatory access control would forbid that.
RIGHTS = (
    *("--cap-add", "SYS_ADMIN", "--security-opt", "unmask=ALL"),
    *("--security-opt", "label=disable", "--security-opt", "apparmor=unconfined"),
)


def container_name(lab: Lab, host: str) -> str:
    return f"t9k-gpu-{lab.name}-{host}"


def up(lab: Lab, hosts: Sequence[Host]) -> dict[str, Address]:
    """All hosts as the spec says, reachable by ssh; those that already are stay as they are."""
    machine.install_missing_packages(sorted({host.kind for host in hosts}))
    _ensure_key(lab)
    machines = [host for host in hosts if host.kind == "vm"]
    for name in set(virtual.names(lab)) - {host.name for host in machines}:
        virtual.remove(lab, name)
    addresses = {host.name: Address("127.0.0.1", virtual.ensure(lab, host, _files(lab, host))) for host in machines}
    addresses.update(_containers(lab, [host for host in hosts if host.kind == "container"]))
    for host in hosts:
        wait_for_ssh(host.name, addresses[host.name], WAIT_S[host.kind])
    inventory.write(lab, {host.name: addresses[host.name] for host in hosts})
    return addresses


def _containers(lab: Lab, hosts: Sequence[Host]) -> dict[str, Address]:
    """The hosts that are containers, started; those that left the spec go."""
    wanted = {container_name(lab, host.name) for host in hosts}
    if podman.installed():
        for name in podman.names_with_label(f"{LABEL}={lab.name}"):
            if name not in wanted:
                _remove(lab, name)
    if not hosts:
        return {}
    machine.require_inotify(len(hosts))
    images = image.ensure(sorted({host.os for host in hosts}))
    subnet = network.ensure(lab.name, f"{LABEL}={lab.name}")
    addresses = {host.name: network.address(subnet, index) for index, host in enumerate(hosts)}
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda host: _ensure_host(lab, host, images[host.os], addresses[host.name]), hosts))
    return {name: Address(address) for name, address in addresses.items()}


def down(lab: Lab) -> None:
    """Nothing of the lab's hosts stays: containers, network, machines, files. Downloaded packages go to the cache."""
    for name in virtual.names(lab):
        virtual.remove(lab, name)
    if podman.installed():  # a scenario begins with this, also on a machine that never had a lab
        _remove_hosts(lab)
    _close_connections(lab)
    machine.run([*machine.as_root(), "rm", "-rf", str(lab.folder / "archives")])
    for path in (lab.ssh_key.parent, lab.control_sockets, lab.machines):
        shutil.rmtree(path, ignore_errors=True)
    lab.inventory.unlink(missing_ok=True)
    if lab.folder.is_dir() and not any(lab.folder.iterdir()):
        lab.folder.rmdir()


def _remove_hosts(lab: Lab) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda name: _remove(lab, name), podman.names_with_label(f"{LABEL}={lab.name}")))
    if podman.exists("network", network.name_of(lab.name)):
        podman.run("network", "rm", network.name_of(lab.name))


def status(lab: Lab) -> list[tuple[str, str]]:
    """(container or virtual machine, its state) of every host of the lab."""
    rows = virtual.status(lab)
    if not podman.installed():
        return rows
    shown = podman.text("ps", "--all", "--filter", f"label={LABEL}={lab.name}", "--format", "{{.Names}}\t{{.Status}}")
    return rows + [(name, state) for name, state in (line.split("\t") for line in shown.splitlines())]


def wait_for_ssh(name: str, address: Address, limit_s: float) -> None:
    """Until the host's sshd introduces itself."""
    until, last = time.monotonic() + limit_s, "no answer yet"
    while time.monotonic() < until:
        try:
            with socket.create_connection((address.address, address.port), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError as error:
            last = str(error)
        time.sleep(0.2)
    raise LabError(f"host {name} at {address}: no sshd within {limit_s:.0f} s ({last})")


def _ensure_key(lab: Lab) -> None:
    lab.ssh_key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lab.control_sockets.mkdir(exist_ok=True, mode=0o700)
    if lab.control_sockets.stat().st_uid != os.getuid():
        raise LabError(f"{lab.control_sockets} belongs to another user")
    if not lab.ssh_key.exists():
        comment = f"lab {lab.name}"
        machine.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(lab.ssh_key)])


def _ensure_host(lab: Lab, host: Host, image_name: str, address: str) -> None:
    name, files = container_name(lab, host.name), _files(lab, host)
    made_from = f"{image_name} {address} {host}".encode() + b"".join(files.values())
    key = hashlib.sha256(made_from).hexdigest()[:16]
    if podman.exists("container", name):
        if podman.inspect("container", name)["Config"]["Labels"].get(f"{LABEL}.key") == key:
            podman.run("start", name)  # says nothing where it runs already
            return
        _remove(lab, name)
    cached = archives.give(lab, host.name, host.os)
    labels = {LABEL: lab.name, f"{LABEL}.key": key, f"{LABEL}.host": f"{host.name} {host.os}"}
    flags = [word for item in labels.items() for word in ("--label", "=".join(item))]
    net = ["--network", network.name_of(lab.name), "--ip", address, "--hostname", host.name]
    boot = ["--systemd", "always", "--restart", "always", "--volume", f"{cached}:/var/cache/apt/archives"]
    fresh = f"{name}.new"  # it gets its name when it is complete, so that a killed run leaves no half host
    podman.run("create", "--name", fresh, "--pull", "never", *flags, *net, *RIGHTS, *boot, image_name, "/sbin/init")
    podman.run("cp", "-", f"{fresh}:/", stdin=image.tar(files))
    podman.run("start", fresh)
    if host.components == "all":
        podman.run("exec", fresh, "sh", "-c", ALL_COMPONENTS)
    podman.run("rename", fresh, name)


def _remove(lab: Lab, name: str) -> None:
    host, system = podman.inspect("container", name)["Config"]["Labels"][f"{LABEL}.host"].split()
    archives.keep(lab, host, system)
    podman.run("rm", "--force", "--time", "0", "--volumes", name)


def _files(lab: Lab, host: Host) -> dict[str, bytes]:
    """What makes this host different from others of its OS."""
    hardware = {"lab": lab.name, "host": host.name, **host.profile()}
    files = {
        "root/.ssh/authorized_keys": lab.ssh_key.with_suffix(".pub").read_bytes(),
        "etc/gpu-stand-in/host.json": json.dumps(hardware, indent=1).encode(),
    }
    shown = machine.run(["apt-config", "dump", "--format", "%f %v%n", "Acquire::http::Proxy"], check=False).stdout
    for _, _, proxy in (line.partition(" ") for line in shown.decode().splitlines()):
        if proxy:
            files["etc/apt/apt.conf.d/90lab-proxy"] = f'Acquire::http::Proxy "{proxy}";\n'.encode()
    return files


def _close_connections(lab: Lab) -> None:
    """End ssh masters that Ansible left: their hosts are gone, and the next lab may use the same address."""
    for path in lab.control_sockets.glob("*"):
        machine.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "lab"], check=False)
