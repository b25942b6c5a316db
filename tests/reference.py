"""Write docs/reference/README.md from the code: ``./dev reference``. A unit test holds the page against drift.

One page, to be searched with the browser's own search; what a module takes and returns is ``ansible-doc``'s to tell.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/README.md"
ROLES = ("driver", "gpu_operator", "gpu_validate", "gpu_report")
#: Examples of variables whose default is empty and that no inventory in examples/ sets; the others follow from their type.
EXAMPLES: dict[str, Any] = {
    "driver_may_remove": ["nvidia-prime"],
    "driver_order": "topology.kubernetes.io/zone",
    "driver_plan_file": "/srv/gpu/plan.json",
    "driver_kubeconfig": "~/.kube/gpu",
    "gpu_operator_values": {"dcgmExporter": {"enabled": False}},
    "gpu_operator_chart_login": {"username": "reader", "password": "{{ vault_chart_password }}"},
    "gpu_operator_mirror_kernels": ["5.15.0-106-generic"],
    "gpu_operator_images": {"toolkit": {"version": "v1.17.4"}},
    "gpu_validate_pod_pull_secrets": ["registry-internal"],
    "gpu_operator_pull_secrets": [{"name": "registry-internal"}],
    "gpu_operator_manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mig-parted"}}],
    "gpu_operator_nodes": ["node01"],
    "gpu_operator_gpu_nodes": ["node01"],
    "gpu_operator_kubeconfig": "~/.kube/gpu",
    "gpu_operator_context": "gpu-cluster",
    "gpu_report_json": "/srv/gpu/fleet.json",
    "gpu_report_previous": "/srv/gpu/last-week.json",
    "gpu_report_kubeconfig": "~/.kube/gpu",
    "gpu_report_nodes": [{"name": "node01", "os": "Ubuntu 24.04"}],
    "gpu_validate_p2p_binary": "/usr/local/bin/p2pBandwidthLatencyTest",
    "gpu_validate_p2p_version": "v12.4",
    "gpu_validate_p2p_thresholds": [{"product_name": "H200", "path": "nvlink", "unidirectional_gb_per_s": 350}],
    "gpu_validate_pod_resource": "nvidia.com/gpu.shared",
    "gpu_validate_kubeconfig": "~/.kube/gpu",
}


def specs(role: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]  # type: ignore[no-any-return]


def variables(role: str) -> dict[str, dict[str, Any]]:
    """Return every public variable of a role once, whichever entry points take it."""
    return {name: option for entry in specs(role).values() for name, option in entry.get("options", {}).items()}


def in_inventories() -> dict[str, Any]:
    """Return what the inventories in examples/ set, as values: the first that sets a variable is its example."""
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "examples").glob("*.yml")):
        for name, value in _pairs(yaml.safe_load(path.read_text())):
            found.setdefault(name, value)
    return found


def _pairs(tree: Any) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield str(key), value
        yield from _pairs(value)


def example(name: str, option: dict[str, Any], used: dict[str, Any]) -> Any:
    """Return another value than the default, from an inventory, from the table, or as the type has it; else the default."""
    usual = option.get("default")
    if name in used and used[name] != usual:
        return used[name]
    if name in EXAMPLES:
        return EXAMPLES[name]
    if option["type"] == "bool":
        return not usual
    others = [choice for choice in option.get("choices", ()) if choice != usual]
    if others:
        return others[0]
    return usual * 2 if option["type"] == "int" and usual and usual > 0 else usual


def flat(value: Any) -> str:
    """Return YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.replace("\n...", "").strip()


def prose(text: str | list[str]) -> str:
    """Return a description as one line of Markdown, Ansible's markup as code."""
    joined = " ".join(text if isinstance(text, list) else [text])
    marked = re.sub(r"\b(?:C|O|V|RV|E)\(((?:[^()\\]|\\.)*)\)", r"`\1`", joined)
    marked = re.sub(r"\b[MP]\(([\w.]+)(?:#\w+)?\)", r"`\1`", marked)
    return " ".join(marked.split()).replace("|", "\\|")


def documentation(path: Path) -> dict[str, Any]:
    """Return a plugin's documentation: a constant of its Python file, or the file beside it."""
    if path.suffix == ".yml":
        return yaml.safe_load(path.read_text())["DOCUMENTATION"]  # type: ignore[no-any-return]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))  # type: ignore[no-any-return]
    return {}


def plugins(kind: str) -> Iterator[str]:
    found = [
        documentation(path) for path in sorted((ROOT / "plugins" / kind).iterdir()) if path.suffix in (".py", ".yml")
    ]
    rows = {told.get("module") or told["name"]: prose(told["short_description"]) for told in found if told}
    yield from (f"| `t9k.gpu.{name}` | {rows[name]} |" for name in sorted(rows))


def role(name: str) -> Iterator[str]:
    yield from ("", f"## Role {name}", "", "| entry point | what |", "|---|---|")
    for entry, told in specs(name).items():
        yield f"| `{entry}` | {prose(told['short_description'])} |"
    yield from ("", "| variable | type | default | meaning | example |", "|---|---|---|---|---|")
    used = in_inventories()
    for variable, option in variables(name).items():
        kinds = ", ".join(f"`{choice}`" for choice in option.get("choices", ())) or option["type"]
        shown = f"`{variable}: {flat(example(variable, option, used))}`".replace("|", "\\|")
        yield f"| `{variable}` | {kinds} | `{flat(option.get('default'))}` | {prose(option['description'])} | {shown} |"


def page() -> str:
    lines = [
        "# Reference",
        "",
        "Made from the code by `./dev reference`. Options and results of a module: `ansible-doc t9k.gpu.NAME`;",
        "of a role: `ansible-doc --type role t9k.gpu.NAME`.",
        *("", "## Modules", "", "| module | what |", "|---|---|", *plugins("modules")),
        *("", "## Filters", "", "| filter | what |", "|---|---|", *plugins("filter")),
        *(line for name in ROLES for line in role(name)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
