# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(t9k.gpu.gpu_summary)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gpu_summary
author: t9k.gpu maintainers (@t9k)
version_added: 0.1.0
short_description: A fleet's GPU nodes as a compact text table
description:
  - Makes a table of fixed width with one row for each node, nodes that need attention first.
  - One line for every problem and for every reason to reboot follows the table.
  - Control characters in values are replaced, so that a value read from a host cannot harm the terminal.
positional: _input
options:
  _input:
    description:
      - The nodes' facts, as described in C(docs/report.md). Every key but C(name) is optional.
      - A node of which nothing is known is shown as C(unreachable).
    type: list
    elements: dict
    required: true
  column_width:
    description: No column is wider than this many characters; longer values are cut with an ellipsis.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Show the fleet
  ansible.builtin.debug:
    msg: "{{ (nodes | t9k.gpu.gpu_summary).splitlines() }}"
  vars:
    nodes:
      - name: gpu01
        driver:
          loaded_version: 580.159.04
          kernel_modules: open
          gsp_enabled: true
          persistence_enabled: true
          held_packages: [nvidia-driver-580-server-open]
          reboot_pending: false
        gpus:
          - product_name: NVIDIA H200
      - name: gpu02
        reachable: false

# NODE   STATE        GPUS     DRIVER      MODULE  GSP  PERSIST  HELD  REBOOT
# -----  -----------  -------  ----------  ------  ---  -------  ----  ------
# gpu02  unreachable  -        -           -       -    -        -     -
# gpu01  ok           1x H200  580.159.04  open    on   on       1     no
# 2 nodes: 1 unreachable, 1 ok; 1 GPU
"""

RETURN = r"""
_value:
  description: The table, lines separated by newlines.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.t9k.gpu.plugins.module_utils._report.node import STATES, Node, read_node
from ansible_collections.t9k.gpu.plugins.module_utils._report.table import printable, table

HEADER = ("NODE", "STATE", "GPUS", "DRIVER", "MODULE", "GSP", "PERSIST", "HELD", "REBOOT", "AWAY")


def _switch(value: bool | None, words: tuple[str, str] = ("on", "off")) -> str:
    return "-" if value is None else words[0] if value else words[1]


def _row(node: Node) -> tuple[str, ...]:
    return (
        node.name,
        node.state,
        node.gpu_models or ("-" if node.gpu_count is None else "none"),
        node.driver_version or "-",
        node.kernel_modules or "-",
        _switch(node.gsp_enabled),
        _switch(node.persistence_enabled),
        "-" if node.held_packages is None else str(len(node.held_packages)),
        _switch(node.reboot_pending, ("pending", "done" if node.rebooted else "no")),
        "-" if node.away_seconds is None else f"{node.away_seconds} s",
    )


def _total(nodes: list[Node]) -> str:
    counts = [(state, sum(node.state == state for node in nodes)) for state in STATES]
    states = ", ".join(f"{count} {state}" for state, count in counts if count)
    gpus = sum(node.gpu_count or 0 for node in nodes)
    return f"{len(nodes)} node{'s' * (len(nodes) != 1)}: {states or 'none'}; {gpus} GPU{'s' * (gpus != 1)}"


def _notes(node: Node) -> list[str]:
    notes = [f"{node.name}: {problem}" for problem in node.problems]
    if node.reboot_pending and node.reboot_reason:
        notes.append(f"{node.name}: reboot pending: {node.reboot_reason}")
    return [f"! {printable(note)}" for note in notes]


def gpu_summary(nodes: Any, column_width: int = 30) -> str:
    if not isinstance(nodes, (list, tuple)) or not all(isinstance(node, dict) for node in nodes):
        raise AnsibleFilterError("gpu_summary wants a list of node facts (dictionaries), see docs/report.md")
    read = sorted((read_node(facts) for facts in nodes), key=lambda node: (STATES.index(node.state), node.name))
    notes = [note for node in read for note in _notes(node)]
    return "\n".join([*table(HEADER, [_row(node) for node in read], column_width), _total(read), *notes])


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"gpu_summary": gpu_summary}
