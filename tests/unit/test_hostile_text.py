"""Whatever text reaches a unit file, modprobe's file, apt's sources, YAML, the page or the terminal stays what it is: text.

Either it is refused, or a reader with the rules of the program that reads the file finds what was meant and nothing else. Fifty cases
each here, 20,000 each (of the page half as many) in tests/slow/test_hostile_text.py.
"""

from __future__ import annotations

import json
import os
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.action.gpu_report import render
from ansible_collections.t9k.gpu.plugins.filter.gpu_summary import gpu_summary
from ansible_collections.t9k.gpu.plugins.filter.run_lines import run_lines
from ansible_collections.t9k.gpu.plugins.module_utils._debian import sources
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe, systemd_unit
from ansible_collections.t9k.gpu.plugins.module_utils._report.model import build
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.configmap import data
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import documents

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("T9K_GPU_EXAMPLES", "50"))
hostile = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
hostile_page = settings(hostile, max_examples=EXAMPLES // 2)  # it takes its time
SHARP = "\n\r\0\t\x0b\x0c\x1b\x85\u2028\\\"'<>&;#=$%{}[]: -@/"
NASTY = st.text(st.sampled_from(SHARP) | st.sampled_from("ab1") | st.characters(codec="utf-8"), max_size=20)
SEEDS = (
    "</title><script>alert(1)</script>",
    '" onload="x',
    "a\nExecStart=/bin/sh",
    "\x1b[2J",
    "a\rb",
    "a: b",
    "- a",
    "\\",
)
TEXT = NASTY | st.sampled_from(SEEDS)
UNIT = systemd_unit.Unit(
    "x.service", systemd_unit.Source("/lib/systemd/system/x.service", "[Service]\nExecStart=/usr/bin/x --y\n")
)
NODES = json.loads((ROOT / "docs/examples/fleet-nodes.json").read_text())
SMALL = next(node for node in NODES if node["name"] == "h200-capture")


@hostile
@given(TEXT)
def test_a_drop_in_has_our_lines_and_no_other(text: str) -> None:
    """systemd ends a line at a line feed, a carriage return and a NUL (read_line_full in its src/basic/fileio.c)."""
    try:
        written = systemd_unit.plan(UNIT, [], [text]).text
    except GpuError:
        return
    lines = (written or "").replace("\r", "\n").replace("\0", "\n").split("\n")
    assert [line.partition("=")[0] for line in lines if not line.startswith("#")] in (
        [""],
        ["[Service]", "ExecStart", "ExecStart", ""],
    )


@hostile
@given(TEXT, TEXT)
def test_modprobe_reads_our_option_and_the_others_lines(before: str, after: str) -> None:
    """kmod ends a line at a line feed alone, and joins those that end in a backslash."""
    text = f"options other {before}\n# {after}\noptions nvidia a=1 b=2 \\"
    written = modprobe.with_option(text, ("nvidia",), "a", "0")
    lines = written.replace("\\\n", "").split("\n")
    assert "options nvidia a=0" in lines
    assert others(text.replace("\\\n", "").split("\n")) == others(lines)


def others(lines: list[str]) -> list[str]:
    """The other module's lines; at the end of a file a backslash joins nothing."""
    return [line.rstrip("\\") for line in lines if line.startswith("options other")]


@hostile
@given(st.lists(TEXT, min_size=1, max_size=2), TEXT, st.lists(TEXT, max_size=2))
def test_a_source_is_read_as_it_was_meant(uris: list[str], suite: str, components: list[str]) -> None:
    entry = Entry(tuple(uris), (suite,), tuple(components))
    try:
        written = stanza(entry)
    except GpuError:
        return
    assert sources.parse(written, deb822=True) == (entry,)


@hostile
@given(TEXT, TEXT)
def test_a_sharing_config_is_read_as_it_was_meant(name: str, resource: str) -> None:
    try:
        found = documents({name: {"mode": "time_slicing", "replicas": 2, "resource": resource}})
    except GpuError:
        return
    assert {key: yaml.safe_load(text) for key, text in data(found, {}).items()} == found


class Page(HTMLParser):
    """The tags of a page and its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, name) for name, _value in attrs} | {(tag, "")}
        self.links |= {str(value)[:1] for name, value in attrs if name in ("href", "src") and tag != "link"}


def elements(nodes: Any) -> Page:
    page = Page()
    page.feed(render(build(nodes, "t", "now")))
    return page


def _with(value: Any, text: str) -> Any:
    """Every text in it is ``text``, but the node's name, which must differ from node to node."""
    if isinstance(value, dict):
        return {key: _with(each, text) for key, each in value.items()}
    if isinstance(value, list):
        return [_with(each, text) for each in value]
    return text if isinstance(value, str) else value


@pytest.fixture(scope="module")
def usual() -> Page:
    page = elements(NODES)
    page.found |= elements([{**_with(SMALL, "plain"), "name": "plain"}]).found
    return page


@hostile_page
@given(text=TEXT)
def test_the_page_has_our_elements_and_no_other(usual: Page, text: str) -> None:
    page = elements([{**_with(SMALL, text), "name": text or "a"}])
    assert page.found <= usual.found
    assert page.links <= {"#"}


@hostile
@given(TEXT)
def test_no_value_moves_the_cursor(text: str) -> None:
    plan = {"has_gpu": True, "steps": [{"name": "hold", "reason": text}], "faults": []}
    known = {
        "inventory_hostname": text or "a",
        "__driver_plan": plan,
        "__driver_failed": text,
        "__gpu_report": {"html": text},
    }
    told = [*run_lines([known]), *gpu_summary([{"name": text or "a", "problems": [text], "os": text}]).split("\n")]
    assert not [line for line in told if any(unicodedata.category(character) == "Cc" for character in line)]
