# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which chart is meant, and which images: the options that the modules of the chart share (``_operator.wanted.ARGUMENT_SPEC``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  chart:
    description: Where the chart is, V(oci://…), V(https://…), a folder or a C(.tgz) file.
    type: str
    required: true
  version:
    description: The chart's version.
    type: str
    required: true
  versions:
    description: What is known about each series of chart versions; the role keeps this table in its C(vars).
    type: dict
    required: true
  version_unchecked:
    description: Whether to take an unknown version for the nearest known one, with a warning, instead of refusing it.
    type: bool
    default: false
  driver:
    description: V(host) for drivers installed on the nodes, V(operator) for the operator's driver containers.
    type: str
    choices: [host, operator]
    default: host
  values:
    description: Further values of the chart. They win over all other options.
    type: dict
    default: {}
  image_registry:
    description: One prefix for the repositories of all images.
    type: str
    default: ''
  images:
    description: Component to the fields of its image, such as C(repository), C(image) and C(version).
    type: dict
    default: {}
"""
