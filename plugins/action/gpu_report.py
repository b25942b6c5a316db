# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collect, build the model, render the page, write both files on the control host: the action C(t9k.gpu.gpu_report)."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ansible_collections.t9k.gpu.plugins.filter.driver_nodes import driver_nodes
from ansible_collections.t9k.gpu.plugins.filter.gpu_summary import gpu_summary
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text
from ansible_collections.t9k.gpu.plugins.module_utils._report import collect as report_collect
from ansible_collections.t9k.gpu.plugins.module_utils._report import model as report_model
from ansible_collections.t9k.gpu.plugins.module_utils._report.heatmap import heatmap

TEMPLATE = Path(__file__).resolve().parents[2] / "roles/gpu_report/templates/report.html.j2"
#: In a fleet up to so many nodes each has a section of its own; in a larger one so many, those that need attention first: a page with
#: thousands of sections opens nowhere.
ALL_DETAILED, DETAILED = 200, 50
SPEC: dict[str, Any] = {
    "html": {"type": "path", "required": True},
    "json": {"type": "path"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "nodes": {"type": "list", "elements": "dict", "default": []},
    "cluster_nodes": {"type": "list", "elements": "dict", "default": []},
    "previous": {"type": "path"},
    "title": {"type": "str", "default": "GPU nodes"},
}


@functools.lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["said"] = report_model.said
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def render(model: dict[str, Any]) -> str:
    """Render the page. Every value is escaped but the heat maps, which escape what they are made from."""
    maps: dict[str, int] = {}
    detailed = len(model["nodes"]) if len(model["nodes"]) <= ALL_DETAILED else DETAILED
    drawn = {node["name"]: heatmaps(node, maps) for node in model["nodes"][:detailed]}
    shared = [Markup(svg) for svg in maps]
    return _template().render(**model, attention=report_model.ATTENTION, drawn=drawn, maps=shared, detailed=detailed)


def heatmaps(node: dict[str, Any], maps: dict[str, int]) -> list[dict[str, Any]]:
    """Draw a node's heat maps. ``maps`` numbers the topologies, which are alike on many nodes and so drawn but once."""
    drawn: list[dict[str, Any]] = []
    if len(node["links"]) > 1:
        svg = heatmap("Topology", node["links"])
        drawn.append({"title": "Topology", "unit": "nvidia-smi topo -m", "shared": maps.setdefault(svg, len(maps))})
    for name, (title, unit) in report_model.SHOWN.items():
        matrix = node["p2p"]["matrices"].get(name)
        if matrix:
            bad = [tuple(r["pair"]) for r in node["p2p"]["reasons"] if r["pair"] and r["matrix"] == name]
            drawn.append({"title": title, "unit": unit, "svg": Markup(heatmap(title, matrix, unit, bad))})
    return drawn


def write(path: Path, text: str) -> None:
    """Write atomically, so that nobody reads half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".t9k-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def load(path: Path) -> Any:
    """Load an older report; None if there is none, or it is no JSON."""
    try:
        return json.loads(read_text(path) or "null")
    except ValueError:
        return None


def lasting(model: Any) -> Any:
    """Return what of a report does not change by writing it again."""
    return {k: v for k, v in model.items() if k not in ("generated_at", "history")} if isinstance(model, dict) else None


class ActionModule(ActionBase):
    """Ansible's way to run the action."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=SPEC)
        html = self._path(given["html"])
        target = self._path(given["json"]) if given["json"] else html.with_suffix(".json")
        if target == html:
            raise AnsibleActionFail(f"Wanted: two files. Found: html and json are both {html}. Next: rename one.")
        previous = self._path(given["previous"]) if given["previous"] else target
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        nodes = self._nodes(given, task_vars or {})
        model = json.loads(json.dumps(report_model.build(nodes, given["title"], now, load(previous)), default=str))
        result["changed"] = lasting(model) != lasting(load(target)) or not html.exists()
        if not self._task.check_mode:
            write(html, render(model))
            write(target, json.dumps(model, indent=1, ensure_ascii=False) + "\n")
        result.update(html=str(html), json=str(target), summary=model["summary"], table=gpu_summary(nodes).splitlines())
        return result

    def _path(self, path: str) -> Path:
        """Resolve a path relative to where ansible-playbook was started, as on a command line."""
        return Path(path).expanduser().absolute()

    def _nodes(self, given: dict[str, Any], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        hostvars, in_cluster = task_vars.get("hostvars", {}), report_collect.by_name(given["cluster_nodes"])
        wanted = ("ansible_facts", report_collect.P2P, report_collect.OVERRIDE)
        nodes = []
        for host in given["hosts"]:
            known = hostvars.get(host, {})
            variables = {name: known[name] for name in wanted if name in known}
            plan = {"inventory_hostname": host, "__driver_plan": known.get("__driver_plan")}
            planned = driver_nodes([plan])[0] if plan["__driver_plan"] else None
            nodes.append(report_collect.collect(host, variables, in_cluster.get(host), planned))
        return [*nodes, *given["nodes"]]
