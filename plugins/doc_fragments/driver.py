# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kind of a driver is meant: the options that the modules of packages share (``_driver.wanted.ARGUMENT_SPEC``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  flavour:
    description:
      - V(server) is the family C(NNN-server) on Ubuntu, and the driver without X on Debian. V(desktop) is the family C(NNN) on
        Ubuntu, and the driver with X on Debian. NVIDIA's repository has one family for both.
    type: str
    choices: [server, desktop]
    default: server
  libraries:
    description:
      - What of the driver's user space is wanted. V(compute) is what CUDA needs with C(nvidia-smi) and the persistence daemon;
        V(graphics) adds video encoding and decoding, OpenGL and Vulkan, which pods may ask for as driver capabilities.
      - The set is the same whether kernel modules are pre-built or built by dkms. NVIDIA's repository for Ubuntu has one
        metapackage for both from branch 590 on.
    type: str
    choices: [compute, graphics]
    default: graphics
  module_build:
    description: Pre-built modules for the running kernel, or built on the node by dkms. V(auto) prefers pre-built ones.
    type: str
    choices: [auto, prebuilt, dkms]
    default: auto
  headers:
    description: Whether missing kernel headers are a fault for modules built with dkms. V(ignore) adds those that there are.
    type: str
    choices: [required, ignore]
    default: required
"""
