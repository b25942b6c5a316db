"""The hosts' images: a base made by mmdebstrap (or an image the user names), and one image per OS on top of it.

Each is named after a hash of all that goes into it, so a change makes a new one and everything else is a look-up.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.lab import spec
from tests.lab.archive import host as archive
from tests.lab.hosts import cuda, machine, podman
from tests.lab.log import say
from tests.lab.state import cache, locked

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "unit" / "fixtures"
CAPTURES = (
    *("nvidia-smi-q.xml", "nvidia-smi-topo-m.txt"),
    *("proc-driver-nvidia-params.txt", "proc-driver-nvidia-gpu-information.txt"),
)
#: The release of Debian that each OS is built from.
RELEASES = {"debian-12": "bookworm", "debian-13": "trixie", "ubuntu-like": "bookworm"}
NAME = "localhost/t9k-gpu-lab"
LABEL = "t9k.gpu.image"
COMMAND = ["--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3"]
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "initramfs-tools", "procps", "sudo", "gpg", "lsb-release"),
    *("openssh-server", "python3", "python3-apt", "iproute2", "iputils-ping", "ca-certificates", "curl", "pciutils"),
)


def ensure(systems: Iterable[str]) -> dict[str, str]:
    """The name of the image of each OS; made where it is not there, by one process at a time."""
    with locked("images"):
        return {system: _ensure_os(system, ensure_base(RELEASES[system])) for system in systems}


def _ensure_os(system: str, base: str) -> str:
    files, setup = content(system)
    key = digest({**files, "base": base.encode(), "setup": setup})
    name = f"{NAME}-{system}:{key}"
    if not podman.exists("image", name):
        say(f"making the image of {system}")
        _derive(base, name, tar(files), setup)
        _forget_older(f"{NAME}-{system}", name)
    return name


def ensure_base(release: str) -> str:
    """The user's image with what it lacks, or Debian built from its packages."""
    named = os.environ.get("T9K_GPU_LAB_IMAGE") if release == "bookworm" else None
    sources = " ".join(mirrors(release))
    recipe = {"packages": " ".join(PACKAGES), "release": release, "image": named or "", "mirrors": sources}
    repository = f"{NAME}-base" if release == "bookworm" else f"{NAME}-base-{release}"
    name = f"{repository}:{digest({key: value.encode() for key, value in recipe.items()})}"
    if podman.exists("image", name):
        return name
    if named:
        say(f"adding packages to {named}")
        install = f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
        _derive(named, name, b"", f"apt-get update && {install} && apt-get clean".encode())
    else:
        podman.run("import", *COMMAND, "--change", f"LABEL {LABEL}=base", str(ensure_tar(name, release)), name)
    _forget_older(repository, name)
    return name


def ensure_tar(name: str, release: str) -> Path:
    """Debian's base system as a tar, in the cache."""
    folder = cache() / "images"
    path = folder / f"debian-{name.rpartition(':')[2]}.tar"
    if not path.exists():
        say(f"building Debian's base system {release} with mmdebstrap (about half a minute)")
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tar")
        include = f"--include={','.join(PACKAGES)}"
        # without this the signatures are checked against this machine's own keys, which may be another distribution's
        keyring = f"--keyring={machine.KEYRING}"
        machine.run(
            [
                *machine.as_root(),
                "mmdebstrap",
                "--variant=apt",
                keyring,
                include,
                release,
                str(fresh),
                *mirrors(release),
            ]
        )
        fresh.replace(path)
    return path


def mirrors(release: str) -> list[str]:
    """Debian's sources of this machine where it has them, as sources.list lines for ``release``; otherwise mmdebstrap's own default."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(LABEL)"
    shown = machine.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=False).stdout
    rows = [line.split(maxsplit=3) for line in shown.decode().splitlines()]
    return [
        f"deb {uri} {release}{suite.removeprefix(there)} main"
        for uri, suite, component, label in (row for row in rows if len(row) == 4)
        for there in set(RELEASES.values())
        if component == "main" and suite.startswith(there) and label in ("Debian", "Debian-Security")
    ]


def content(system: str) -> tuple[dict[str, bytes], bytes]:
    """What an OS has on top of the base: files by path, and the script that runs once."""
    files = stand_ins("boot", "nvidia-smi", "nvidia-persistenced", "dkms", "dmesg")
    for unit in (HERE / "stand_ins").glob("*.service"):
        files[f"etc/systemd/system/{unit.name}"] = unit.read_bytes()
    if system == "ubuntu-like":
        files.update(ubuntu(platform.release()))
    scripts = [
        HERE / "os" / ("debian" if system.startswith("debian-") else system) / "setup.sh",
        HERE / "os" / "kernel.sh",
    ]
    return files, f"kernel={platform.release()}\n".encode() + b"".join(script.read_bytes() for script in scripts)


def stand_ins(*programs: str) -> dict[str, bytes]:
    """The programs with what they share, the library that computes and the captures they start from, by path."""
    place = "usr/lib/gpu-stand-in"
    files = {
        f"{place}/hardware.py": (HERE / "stand_ins/hardware.py").read_bytes(),
        f"{place}/libcuda.so": cuda.library(),
    }
    for program in programs:
        files[f"{place}/{program}"] = (HERE / f"stand_ins/{program.replace('-', '_')}.py").read_bytes()
    for capture in sorted({profile["capture"] for profile in spec.profiles().values() if "capture" in profile}):
        for name in CAPTURES:
            files[f"{place}/captures/{capture}/{name}"] = (FIXTURES / capture / name).read_bytes()
    files["etc/dpkg/dpkg.cfg.d/lab"] = b"force-unsafe-io\n"
    return files


def ubuntu(kernel: str) -> dict[str, bytes]:
    """What makes a Debian userland present itself as Ubuntu 22.04, with its archive; ``kernel``: what the machine has."""
    source = HERE / "os" / "ubuntu-like"
    files = {
        "usr/lib/os-release": "os-release",
        "etc/lsb-release": "lsb-release",
        "etc/apt/preferences.d/lab": "preferences",
    }
    own = {path: (source / name).read_bytes() for path, name in files.items()}
    return {**own, **archive.files(kernel)}


def _derive(base: str, name: str, files: bytes, setup: bytes) -> None:
    """A throw-away container: put the files in, run the script, keep the result as an image."""
    container = podman.text("create", "--label", f"{LABEL}=build", "--interactive", base, "sh", "-eu")
    try:
        if files:
            podman.run("cp", "-", f"{container}:/", stdin=files)
        podman.run("start", "--attach", "--interactive", container, stdin=setup)
        podman.run("commit", "--quiet", *COMMAND, "--change", f"LABEL {LABEL}=os", container, name)
    finally:
        podman.run("rm", "--force", container)


def _forget_older(repository: str, current: str) -> None:
    """Images of recipes from days ago; other clones on this machine may be using younger ones."""
    old = ["--filter", "until=72h", "--format", "{{.Repository}}:{{.Tag}}"]
    for name in podman.text("images", "--filter", f"reference={repository}", *old).split():
        if name != current:
            podman.run("rmi", name, check=False)


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            entry.mode = 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def digest(parts: Mapping[str, bytes]) -> str:
    """Name all that goes into an image, so that a change makes a new one."""
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in parts.items()}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:12]
