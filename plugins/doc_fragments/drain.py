# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a node is emptied within the budget: the options that every module has which does so (``_drain.wanted.ARGUMENT_SPEC``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  force:
    description: Whether pods that nothing would make again are deleted.
    type: bool
    default: false
  grace_period:
    description: Seconds that each pod has to end, V(-1) for its own.
    type: int
    default: -1
  hold:
    description: Seconds after its turn at which a run on another machine may take the node over, if this one was killed.
    type: int
    default: 7200
  budget_timeout:
    description: Seconds to wait for room in the budget. After that it fails, and the node is as it was.
    type: int
    default: 21600
  known_gpu_nodes:
    description: Nodes that have GPUs although nothing in the cluster tells, as before the GPU Operator is there.
    type: list
    elements: str
    default: []
  namespace:
    description: Where the ConfigMap V(t9k-gpu-rollout) is, which is made if it is missing.
    type: str
    default: t9k-gpu
"""
