#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action C(t9k.gpu.gpu_report), which runs on the control host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_report
author: t9k.gpu maintainers (@t9k)
version_added: 0.1.0
short_description: Write a report about a fleet's GPU nodes
description:
  - Makes one HTML page that needs nothing else (no script, no font, no image from anywhere) and one JSON file.
  - The page has a summary of the fleet, a row for each node, and for each node its GPUs, its topology and its
    peer-to-peer measurements as heat maps. With an older report at hand it shows what changed since.
  - Runs on the control host. The facts are those that the play knows of its hosts, see C(docs/report.md).
options:
  html:
    description: The page to write.
    type: path
    required: true
  json:
    description: The JSON file to write. The default is the page's path with C(.json) as its ending.
    type: path
  hosts:
    description:
      - The inventory hosts to report about. Their facts are put together from the local fact C(t9k_gpu), the plan of the
        role C(driver), gathered facts, the facts of M(t9k.gpu.nvidia_smi_facts), and the variables C(gpu_validate_p2p) and C(gpu_report_node).
      - A host of which nothing is known is reported as unreachable.
    type: list
    elements: str
    default: []
  nodes:
    description: More nodes, already in the form that C(docs/report.md) describes.
    type: list
    elements: dict
    default: []
  cluster_nodes:
    description: Node objects of the cluster, as M(kubernetes.core.k8s_info) lists them, matched with O(hosts) by name.
    type: list
    elements: dict
    default: []
  previous:
    description: The JSON file of an older report, to show what changed. The default is the file that O(json) replaces.
    type: path
  title:
    description: The page's title.
    type: str
    default: GPU nodes
attributes:
  action:
    description:
      - Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
notes:
  - Both files are written at every run, since the report says when it was made. The task is changed if anything else
    in it is.
"""

EXAMPLES = r"""
- name: Report about all hosts of the play
  t9k.gpu.gpu_report:
    html: /var/www/gpu/index.html
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true

- name: Report about one node in words
  t9k.gpu.gpu_report:
    html: ./report.html
    nodes:
      - name: gpu01
        os: Ubuntu 24.04
        gpus:
          - product_name: NVIDIA H200
"""

RETURN = r"""
html:
  description: The page.
  returned: always
  type: str
json:
  description: The JSON file.
  returned: always
  type: str
summary:
  description: The fleet in numbers.
  returned: always
  type: dict
  sample: {node_count: 4, gpu_count: 18, attention_count: 1, reboot_count: 0, problem_count: 1}
table:
  description: The same as the filter P(t9k.gpu.gpu_summary#filter) shows it, line by line.
  returned: always
  type: list
  elements: str
"""
