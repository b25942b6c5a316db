"""The files of installed packages: from the cache, from the archive, refused where they are not what is installed."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import keep
from tests.lab.archive.deb import Package, build

pytestmark = pytest.mark.needs("dpkg-deb")
SPEC = "libgpu1:amd64=1:2.0-1"
FILE = "libgpu1_1%3a2.0-1_amd64.deb"
FOLDER = "/kept"


class Host:
    """A root with dpkg's records; ``archive`` is what apt offers. The fields of files are read by the real dpkg-deb."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive: dict[str, bytes] = {}
        self.asked: list[str] = []
        (root / FOLDER[1:]).mkdir()
        (root / keep.CACHE[1:]).mkdir(parents=True)
        (root / "var/lib/dpkg/info").mkdir(parents=True)

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.asked.append(argv[0].rpartition("/")[2])
        if argv[:4] == ["apt-get", "--print-uris", "-qq", "download"]:
            rows = [
                f"'http://archive/{file}' {file} {len(data)} SHA256:{hashlib.sha256(data).hexdigest()}\n"
                for file, data in self.archive.items()
            ]
            return Result(tuple(argv), 0 if rows else 100, "".join(rows), "" if rows else "E: Can't find a source")
        if argv[0] == keep._HELPER:
            assert argv[4].startswith("SHA256:")
            Path(argv[3]).write_bytes(self.archive[argv[2].rpartition("/")[2]])
            return Result(tuple(argv), 0, "", "")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    def cache(self, data: bytes) -> None:
        (self.root / keep.CACHE[1:] / FILE).write_bytes(data)

    def unpacked(self, text: str) -> None:
        (self.root / "var/lib/dpkg/info/libgpu1:amd64.md5sums").write_text(text)

    def kept(self) -> bytes | None:
        path = self.root / FOLDER[1:] / FILE
        return path.read_bytes() if path.exists() else None

    def gather(self) -> tuple[str, ...]:
        return keep.gather(self, [keep.File("libgpu1", "amd64", "1:2.0-1")], FOLDER, str(self.root))[1]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def deb(folder: Path, content: str, version: str = "1:2.0-1") -> bytes:
    """Made by the real dpkg-deb, with the checksums of its files."""
    place = folder / f"made-{content}"
    (place / "DEBIAN").mkdir(parents=True)
    control = f"Package: libgpu1\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@y>\nDescription: x\n"
    (place / "DEBIAN/control").write_text(control)
    (place / "DEBIAN/md5sums").write_text(f"{hashlib.md5(content.encode()).hexdigest()}  usr/lib/libgpu\n")
    subprocess.run(["dpkg-deb", "--build", str(place), str(folder / "made.deb")], check=True, capture_output=True)
    return (folder / "made.deb").read_bytes()


def sums(content: str) -> str:
    return f"{hashlib.md5(content.encode()).hexdigest()}  usr/lib/libgpu\n"


def test_names(host: Host) -> None:
    file = keep.File.of(SPEC)
    assert file == keep.File("libgpu1", "amd64", "1:2.0-1") and file.file == FILE
    assert (file.spec, file.asked) == (SPEC, SPEC)
    assert keep.File("tools", "all", "1").asked == "tools=1"
    assert keep.File.of("libgpu1=1") is None


def test_from_the_cache_though_the_archive_has_it_no_more(host: Host, tmp_path: Path) -> None:
    data = deb(tmp_path, "good")
    host.cache(data)
    host.unpacked(sums("good"))
    assert keep.missing(host, [keep.File("libgpu1", "amd64", "1:2.0-1")], root=str(tmp_path)) == ()
    assert (host.gather(), host.kept()) == ((), data)


def test_from_the_archive(host: Host, tmp_path: Path) -> None:
    host.archive[FILE] = deb(tmp_path, "good")
    assert keep.missing(host, [keep.File("libgpu1", "amd64", "1:2.0-1")], root=str(tmp_path)) == ()
    assert (host.gather(), host.kept()) == ((), host.archive[FILE])


def test_kept_already_nothing_is_fetched_again(host: Host, tmp_path: Path) -> None:
    host.archive[FILE] = deb(tmp_path, "good")
    host.gather()
    host.asked.clear()
    host.gather()
    assert "apt-helper" not in host.asked


@pytest.mark.parametrize("what", ["other files", "another version", "no package", "nothing"])
def test_what_is_not_the_installed_package_is_not_kept(host: Host, tmp_path: Path, what: str) -> None:
    made = {
        "other files": lambda: deb(tmp_path, "rebuilt"),
        "another version": lambda: deb(tmp_path, "good", "1:2.0-2"),
        "no package": lambda: b"cut short",
    }
    if what in made:
        host.cache(made[what]())
    host.unpacked(sums("good"))
    assert (host.gather(), host.kept()) == ((SPEC,), None)


def test_a_cached_file_that_the_index_does_not_confirm_is_fetched_anew(host: Host, tmp_path: Path) -> None:
    host.cache(b"cut short")
    host.archive[FILE] = build(Package("libgpu1", "1:2.0-1"))
    assert (host.gather(), host.kept()) == ((), host.archive[FILE])


def test_neither_cached_nor_on_offer(host: Host, tmp_path: Path) -> None:
    assert keep.missing(host, [keep.File("libgpu1", "amd64", "1:2.0-1")], root=str(tmp_path)) == (SPEC,)


class Guarded(BaseHTTPRequestHandler):
    """An archive that wants a name and a password."""

    def do_GET(self) -> None:
        let_in = self.headers.get("Authorization") == f"Basic {b64encode(b'gpu:hunter2').decode()}"
        self.send_response(200 if let_in else 401)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"x")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.mark.needs("apt-get")
def test_a_password_is_no_argument_of_apts_helper(tmp_path: Path) -> None:
    """The real helper, at an archive whose address has a password in the node's own sources."""
    seen: list[list[str]] = []

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        seen.append(argv)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    server = HTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    offer = keep.Offer(
        f"http://gpu:hunter2@127.0.0.1:{server.server_port}/x.deb", "SHA256", hashlib.sha256(b"x").hexdigest()
    )
    keep._fetch(run, offer, tmp_path / "x.deb")
    server.shutdown()
    assert (tmp_path / "x.deb").read_bytes() == b"x"
    assert "hunter2" not in str(seen)
