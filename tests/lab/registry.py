"""A real image registry on this machine, and a small image for it.

The program is ``distribution`` (github.com/distribution/distribution, CNCF), built by tests/lab/cluster/tools_go.py; its configuration is
as its documentation has it (docs, "Configuring a registry"). The image is made here after opencontainers/image-spec: an index of
two platforms, each with one layer.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.cluster import pki, tools_go
from tests.lab.log import LabError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_STARTS_S = 30


@dataclass
class Registry:
    """A registry that listens on 127.0.0.1, with TLS by a CA of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "pki" / "ca.crt"

    def start(self) -> None:
        pki.make(self.folder / "pki")
        tls = {"certificate": str(self.folder / "pki/apiserver.crt"), "key": str(self.folder / "pki/apiserver.key")}
        storage = {"filesystem": {"rootdirectory": str(self.folder / "storage")}}
        config = {"version": 0.1, "storage": storage, "http": {"addr": self.address, "secret": "lab", "tls": tls}}
        (self.folder / "config.yml").write_text(json.dumps(config))
        argv = [str(tools_go.provide("registry")), "serve", str(self.folder / "config.yml")]
        with (self.folder / "registry.log").open("wb") as log:
            quiet = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=quiet)
        end = time.monotonic() + _STARTS_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise LabError(f"the registry does not start:\n{(self.folder / 'registry.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)

    def _answers(self) -> bool:
        try:
            return self.ask("") is not None
        except OSError:
            return False

    def ask(self, path: str) -> tuple[dict[str, str], bytes] | None:
        """GET below /v2/: the answer's headers and body; None for what it does not have."""
        request = urllib.request.Request(
            f"https://{self.address}/v2/{path}", headers={"Accept": f"{INDEX}, {MANIFEST}"}
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return {key.lower(): value for key, value in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


def image(folder: Path, text: str) -> str:
    """Write an image of two platforms as an OCI layout with the tag ``latest``; return the digest of its index."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def document(content: dict[str, Any], media_type: str, **more: Any) -> dict[str, Any]:
        return blob(json.dumps(content).encode(), media_type, **more)

    platforms = []
    for architecture in ("amd64", "arm64"):
        layer = _layer(f"{text} {architecture}\n")
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
        config = {"architecture": architecture, "os": "linux", "rootfs": rootfs, "config": {}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": document(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar")],
        }
        platforms.append(document(manifest, MANIFEST, platform={"architecture": architecture, "os": "linux"}))
    index = document({"schemaVersion": 2, "mediaType": INDEX, "manifests": platforms}, INDEX)
    named = {**index, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(index["digest"])


def _layer(text: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
