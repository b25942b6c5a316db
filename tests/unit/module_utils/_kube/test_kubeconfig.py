"""Connection options → one kubeconfig, as a table; and every tool's own reading of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._kube import kubeconfig as kube_kubeconfig
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

A, B = "https://a:6443", "https://b:6443"


def write(path: Path, name: str, server: str, user: dict[str, Any], **cluster: Any) -> str:
    document = {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "a": write(tmp_path / "a", "a", A, {"token": "of-a"}, **{"certificate-authority": "ca.crt"}),
        "b": write(tmp_path / "b", "b", B, {"exec": {"command": "./login", "apiVersion": "v1"}}),
        "none": str(tmp_path / "none"),
    }


TABLE: list[tuple[str, dict[str, Any], str, tuple[str, Any]]] = [
    ("named", {"kubeconfig": "a"}, "b", (A, {"token": "of-a"})),
    ("from KUBECONFIG", {}, "a", (A, {"token": "of-a"})),
    ("the first of two files", {}, "a:b", (A, {"token": "of-a"})),
    ("a context of the second file", {"context": "b"}, "a:b", (B, {"exec": {"apiVersion": "v1", "command": "{tmp}/login"}})),
    ("AWX: host and token", {"host": B, "api_key": "t"}, "a", (B, {"token": "t"})),
    ("host alone keeps the file's credentials", {"host": B}, "a", (B, {"token": "of-a"})),
    ("host alone without a file", {"host": B}, "none", (B, {})),
]  # fmt: skip


@pytest.mark.parametrize(("params", "environ", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_resolve(
    files: dict[str, str], tmp_path: Path, params: dict[str, Any], environ: str, expected: tuple[str, Any]
) -> None:
    given = {key: files.get(value, value) for key, value in params.items() if key != "context"}
    given.update({"context": params["context"]} if "context" in params else {})
    document = kube_kubeconfig.resolve(given, {"KUBECONFIG": ":".join(files[name] for name in environ.split(":"))})
    user = document["users"][0]["user"]
    assert (document["clusters"][0]["cluster"]["server"], str(user)) == (
        expected[0],
        str(expected[1]).replace("{tmp}", str(tmp_path)),
    )
    assert document["contexts"][0]["name"] == document["current-context"] == "t9k"


def test_certificates(files: dict[str, str], tmp_path: Path) -> None:
    def cluster(**more: Any) -> dict[str, Any]:
        return dict(kube_kubeconfig.resolve({"kubeconfig": files["a"], **more}, {})["clusters"][0]["cluster"])

    assert cluster()["certificate-authority"] == str(tmp_path / "ca.crt")
    assert cluster(ca_cert="/other.crt")["certificate-authority"] == "/other.crt"
    assert cluster(validate_certs=False) == {"server": A, "insecure-skip-tls-verify": True}


def test_awx_host_and_token_take_nothing_from_a_kubeconfig_that_happens_to_be_there(files: dict[str, str]) -> None:
    document = kube_kubeconfig.resolve({"host": B, "api_key": "t"}, {"KUBECONFIG": files["a"]})
    assert document["clusters"][0]["cluster"] == {"server": B}


def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_kubeconfig, "_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("t")
    environ = {"KUBECONFIG": "/none", "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    document = kube_kubeconfig.resolve({}, environ)
    assert document["clusters"][0]["cluster"]["server"] == "https://[fd00::1]:443"
    assert document["users"][0]["user"] == {"tokenFile": f"{tmp_path}/token"}  # the kubelet renews that file


WRONG = [
    ({"kubeconfig": "none"}, "no such file"),
    ({"kubeconfig": "a", "context": "z"}, "contexts a"),
    ({"kubeconfig": "broken"}, "no map"),
]


@pytest.mark.parametrize(("params", "said"), WRONG)
def test_no_way(files: dict[str, str], tmp_path: Path, params: dict[str, str], said: str) -> None:
    (tmp_path / "broken").write_text("just text")
    given = {**params, "kubeconfig": str(tmp_path / params["kubeconfig"])}
    with pytest.raises(ApiFault, match=said):
        kube_kubeconfig.resolve(given, {})


def test_the_modules_talk_to_what_the_file_says(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", files["a"])
    assert kube_connect.connect({"validate_certs": False}).server == A
    assert kube_connect.connect({"host": B, "api_key": "t"}).server == B
