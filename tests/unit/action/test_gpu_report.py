"""The page and the action: self-contained, escaped, readable, small and fast; set, check, again, refuse."""

from __future__ import annotations

import html
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleError

from ansible_collections.t9k.gpu.plugins.action import gpu_report as subject
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p_samples
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.evidence import Evidence
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.judge import judge
from ansible_collections.t9k.gpu.plugins.module_utils._report.model import build
from ansible_collections.t9k.gpu.plugins.modules import gpu_report as documentation

FIXTURES = Path(__file__).parents[1] / "fixtures"
REPORT = p2p_samples.parse((FIXTURES / "a100-sxm4-x8/p2pBandwidthLatencyTest.txt").read_text())
#: Not published with the measurements: two sockets with four GPUs each.
LINKS = [["X" if i == j else "PXB" if i // 4 == j // 4 else "SYS" for j in range(8)] for i in range(8)]
VOID = {"meta", "link", "br"}


def node(number: int, **more: Any) -> dict[str, Any]:
    """A node of eight GPUs with the published measurements, which differ a little from node to node."""
    matrices = {
        name: [[None if v is None else round(v * (1 + number / 5000), 2) for v in row] for row in rows]
        for name, rows in REPORT.matrices.items()
    }
    gpu = {"product_name": "NVIDIA A100-SXM4-80GB", "memory_total_mib": 81920, "persistence_enabled": True}
    return {
        "name": f"gpu-{number:03d}.rack{number % 10}.example.org",
        "os": "Ubuntu 22.04",
        "kernel": "5.15.0-130-generic",
        "driver": {
            "installed_version": "535.230.02",
            "loaded_version": "535.230.02",
            "kernel_modules": "proprietary",
            "gsp_enabled": False,
            "held_packages": [f"libnvidia-{part}-535-server" for part in ("compute", "cfg1", "decode", "encode", "gl")],
            "reboot_pending": number % 7 == 0,
            "reboot_reason": "535.183.01 is loaded, 535.230.02 is installed" if number % 7 == 0 else None,
        },
        "gpus": [
            {
                **gpu,
                "index": i,
                "uuid": f"GPU-{number:08x}-0000-4000-8000-{i:012x}",
                "pci_address": f"0000:{i + 16:02x}:00.0",
            }
            for i in range(8)
        ],
        "topology": {"gpus": [f"GPU{i}" for i in range(8)], "links": LINKS},
        "p2p": {**judge(Evidence(REPORT, LINKS)).to_dict(), "matrices": matrices},
        "problems": ["the daemonset nvidia-device-plugin-daemonset is not ready here"] if number % 20 == 1 else [],
        "cluster": {
            "allocatable": {"nvidia.com/gpu": "8"},
            "sharing": "exclusive",
            "labels": {"nvidia.com/gpu.count": "8"},
        },
        **more,
    }


def page(*nodes: dict[str, Any], previous: Any = None, title: str = "GPU nodes") -> str:
    return subject.render(json.loads(json.dumps(build(nodes, title, "2026-01-02 03:04 UTC", previous))))


class Reader(HTMLParser):
    """Checks that tags are closed in order; collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.words += f" {data} "


def test_two_hundred_nodes_of_eight_gpus_in_two_seconds_and_two_megabytes() -> None:
    """Processor time, since the machine that runs the tests may be busy with other things."""
    facts = [node(number) for number in range(200)]
    start = time.process_time()
    text = page(*facts)
    took = time.process_time() - start
    assert len(text.encode()) < 2_000_000
    assert took < 2.0
    assert text.count("<svg") == 800


def test_two_thousand_nodes_in_two_megabytes() -> None:
    """Each node has its row; the first have a section, and they are those that need attention."""
    text = page(*(node(number) for number in range(2000)))
    assert len(text.encode()) < 2_000_000, len(text.encode())
    assert text.count("<details") == subject.DETAILED
    assert all(f"gpu-{number:03d}.rack" in text for number in (0, 1234, 1999))
    assert "in the JSON file" in text
    links = set(re.findall(r'href="#n(\d+)"', text))
    assert links == {str(number) for number in range(1, subject.DETAILED + 1)}


@pytest.mark.parametrize(
    "nodes", [[], [{"name": "gone"}], [node(0)], [node(i) for i in range(6)], [node(1, gpus=[], p2p=None)]]
)
def test_well_formed_and_self_contained(nodes: list[dict[str, Any]]) -> None:
    text = page(*nodes)
    reader = Reader(text)
    assert "script" not in {seen[0] for seen in reader.seen}
    assert "http" not in re.sub(r"http-equiv", "", text)
    for tag, attributes in reader.seen:
        target = attributes.get("href") or attributes.get("src") or ""
        assert target == "" or target.startswith(("#", "data:")), (tag, target)
    ids = [attributes["id"] for tag, attributes in reader.seen if "id" in attributes]
    assert len(ids) == len(set(ids)) == len(nodes)
    assert all(f'href="#{name}"' in text for name in ids)


HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def test_everything_is_escaped() -> None:
    facts = node(
        3,
        name=HOSTILE,
        os=HOSTILE,
        kernel=HOSTILE,
        driver={
            "loaded_version": HOSTILE,
            "kernel_modules": HOSTILE,
            "held_packages": [HOSTILE],
            "reboot_reason": HOSTILE,
        },
        problems=[HOSTILE],
        plan={"steps": [{"name": HOSTILE, "reason": HOSTILE}]},
        gpus=[{"index": HOSTILE, "product_name": HOSTILE, "uuid": HOSTILE, "recovery_action": HOSTILE}],
        topology={"gpus": ["a", "b"], "links": [["X", HOSTILE], [HOSTILE, "X"]]},
        cluster={"allocatable": {HOSTILE: HOSTILE}, "sharing": HOSTILE, "labels": {HOSTILE: HOSTILE}},
        p2p={"verdict": HOSTILE, "note": HOSTILE, "reasons": [{"message": HOSTILE}], "cautions": [HOSTILE]},
    )
    old = json.loads(json.dumps(build([{**facts, "os": "x" + HOSTILE}, {"name": HOSTILE + "2"}], HOSTILE, HOSTILE)))
    text = page(facts, previous=old, title=HOSTILE)
    assert "<script" not in text and "{{ 7*7 }}" in text and ">49<" not in text
    assert HOSTILE in html.unescape(text)


def test_memory_that_is_no_number_does_no_harm() -> None:
    assert "80 GiB" in page(node(1))
    assert "80 GiB" not in page(node(1, gpus=[{"memory_total_mib": "lots"}]))


def test_what_the_page_says() -> None:
    words = " ".join(Reader(page(node(7), {"name": "gone"})).words.split())
    for expected in ("535.183.01 is loaded", "8x A100-SXM4-80GB", "GPU-00000007-0000-4000-8000-000000000003", "gpu: 8"):
        assert expected in words
    for expected in (
        "proprietary modules",
        "libnvidia-cfg1-535-server",
        "Nothing could be read.",
        "Peer to peer: ok",
        "50.5",
    ):
        assert expected in words


def test_history_on_the_page() -> None:
    old = json.loads(json.dumps(build([node(1, kernel="5.4.0")], "T", "2025-01-01 00:00 UTC")))
    words = " ".join(Reader(page(node(1), previous=old)).words.split())
    assert "Since 2025-01-01 00:00 UTC" in words and "5.4.0 5.15.0-130-generic" in words
    same = json.loads(json.dumps(build([node(1)], "T", "2025-01-01 00:00 UTC")))
    assert "Nothing has changed." in page(node(1), previous=same)


def test_the_past_of_a_node_is_on_the_page() -> None:
    past = [{"at": "2026-01-01T00:00:00Z", "outcome": "failed", "steps": ["install"], "why": "<no room>", "away_s": 70}]
    words = " ".join(Reader(page(node(1, history=past))).words.split())
    assert "2026-01-01T00:00:00Z install none 70 s failed: <no room>" in words


def luminance(colour: str) -> float:
    if len(colour) == 4:
        colour = "#" + "".join(digit * 2 for digit in colour[1:])
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def palettes() -> list[dict[str, str]]:
    blocks = re.findall(r":root\{(.*?)\}", subject.TEMPLATE.read_text(), re.DOTALL)
    return [dict(re.findall(r"--(\w+):(#\w+)", block)) for block in blocks]


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast_is_at_least_that_of_wcag_aa(theme: int) -> None:
    colours = palettes()[theme]
    pairs = [("fg", name) for name in colours if re.fullmatch(r"[hu][0-6d]|bg|soft", name)]
    pairs += [(name, "bg") for name in ("dim", "link", "good", "bad", "warn", "info", "none")] + [("dim", "soft")]
    assert len(pairs) == 25
    for text, ground in pairs:
        low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def act(check_mode: bool = False, hostvars: dict[str, Any] | None = None, **args: Any) -> dict[str, Any]:
    task = MagicMock(args=args, check_mode=check_mode, async_val=0)
    action = subject.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return action.run(task_vars={"hostvars": hostvars or {}})


def test_set_check_again(tmp_path: Path) -> None:
    html, told = tmp_path / "a/report.html", tmp_path / "a/report.json"
    hosts = {"gpu01": {"ansible_facts": {"kernel": "6.8", "nvidia_smi": {"gpus": [{"product_name": "NVIDIA H200"}]}}}}
    given = {"html": str(html), "hosts": ["gpu01", "gone"], "nodes": [{"name": "more"}]}
    assert act(True, hosts, **given)["changed"] is True and not html.parent.exists()
    first = act(False, hosts, **given)
    assert first["changed"] is True and first["html"] == str(html) and first["json"] == str(told)
    assert first["summary"]["node_count"] == 3 and first["table"][0].startswith("NODE")
    assert "1x H200" in html.read_text() and html.stat().st_mode & 0o777 == 0o644
    again = act(False, hosts, **given)
    assert again["changed"] is False and "Nothing has changed." in html.read_text()
    hosts["gpu01"]["ansible_facts"]["kernel"] = "6.11"
    assert act(False, hosts, **given)["changed"] is True
    assert json.loads(told.read_text())["history"]["changes"][0]["after"] == "6.11"
    assert not list(tmp_path.glob("**/.t9k-*"))


def test_an_older_report_elsewhere(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(build([{"name": "a", "kernel": "5"}], "T", "2020")))
    act(html=str(tmp_path / "r.html"), nodes=[{"name": "a", "kernel": "6"}], previous=str(old))
    assert "Since 2020" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "html"),
        ({"html": "/tmp/x", "json": "/tmp/x"}, "html and json are both"),
        ({"html": "/tmp/x", "nodes": "y"}, "nodes"),
        ({"html": "/tmp/x", "colour": "red"}, "colour"),
    ],
)
def test_refuses(args: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        act(**args)


@pytest.mark.parametrize("broken", ["", "{", "[]", "\x00"])
def test_a_broken_older_report_is_none(tmp_path: Path, broken: str) -> None:
    (tmp_path / "r.json").write_text(broken)
    assert act(html=str(tmp_path / "r.html"), nodes=[{"name": "a"}])["changed"] is True


def test_the_documentation_is_the_specification() -> None:
    documented = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert set(documented) == set(subject.SPEC)
    for name, option in subject.SPEC.items():
        for key in ("type", "default", "required", "elements"):
            assert documented[name].get(key) == option.get(key), (name, key)
