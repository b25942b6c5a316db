"""The matrix of links that ``nvidia-smi topo -m`` prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import topology as nvidia_topology
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.topology import Affinity, Topology

FOLDER = Path(__file__).parents[2] / "fixtures"
A40 = (FOLDER / "derived-a40-x7-525/nvidia-smi-topo-m.txt").read_text()
H200 = (FOLDER / "h200-sxm-580-open/nvidia-smi-topo-m.txt").read_text()


def test_the_capture() -> None:
    assert nvidia_topology.parse(H200) == Topology(("GPU0",), (), (("X",),), (Affinity("0-15", "0", None),), {})


def test_gpus_and_nics() -> None:
    topology = nvidia_topology.parse(A40)
    assert topology.gpus == tuple(f"GPU{i}" for i in range(7))
    assert topology.nics == ("NIC0", "NIC1")
    assert topology.nic_names == {"NIC0": "mlx5_0", "NIC1": "mlx5_1"}
    assert [len(row) for row in topology.links] == [9] * 9
    assert all(topology.links[i][j] == topology.links[j][i] for i in range(9) for j in range(9))
    assert topology.link(0, 1) == topology.link("GPU1", "GPU0") == "NV4"
    assert topology.link(0, 6) == "SYS"
    assert topology.link("NIC1", 5) == "PXB"
    assert topology.affinities[0] == Affinity("0-31,64-95", "0", None)
    assert topology.affinities[6] == Affinity("32-63,96-127", "1", None)


def test_dictionary() -> None:
    found = json.loads(json.dumps(nvidia_topology.parse(A40).to_dict()))
    assert found["nics"][1] == {"name": "NIC1", "device": "mlx5_1"}
    assert found["kinds"][0][:3] == ["self", "nvlink", "numa"]
    assert found["affinities"][0]["cpus"] == "0-31,64-95"


@pytest.mark.parametrize(
    ("link", "kind", "nvlinks"),
    [
        ("X", "self", 0),
        ("NV1", "nvlink", 1),
        ("NV18", "nvlink", 18),
        ("PIX", "pcie_switch", 0),
        ("PXB", "pcie_switch", 0),
        ("PHB", "host_bridge", 0),
        ("NODE", "numa", 0),
        ("SYS", "system", 0),
        ("SOC", "system", 0),
        ("NV", None, 0),
        ("0-15", None, 0),
        ("", None, 0),
    ],
)
def test_kind(link: str, kind: str | None, nvlinks: int) -> None:
    assert (nvidia_topology.kind(link), nvidia_topology.nvlinks(link)) == (kind, nvlinks)


PASTED = """\
        GPU0    GPU1    mlx5_0  CPU Affinity    NUMA Affinity   GPU NUMA ID
GPU0     X      NV12    PXB     48-63,176-191   3               N/A
GPU1    NV12     X      SYS     48-63,176-191   3               7
mlx5_0  PXB     SYS      X
"""


def test_pasted_with_blanks_and_cards_by_their_own_names() -> None:
    topology = nvidia_topology.parse(PASTED)
    assert topology.nics == ("mlx5_0",)
    assert topology.link(1, "mlx5_0") == "SYS"
    assert topology.affinities == (Affinity("48-63,176-191", "3", None), Affinity("48-63,176-191", "3", "7"))


def test_column_of_the_gpus_own_memory_node() -> None:
    text = "\tGPU0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \t0-71\t0,2\t\t1\n"
    assert nvidia_topology.parse(text).affinities == (Affinity("0-71", "0,2", "1"),)


def test_without_affinities() -> None:
    topology = nvidia_topology.parse("\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tPHB\t\nGPU1\tPHB\t X \t\n")
    assert topology.links == (("X", "PHB"), ("PHB", "X"))
    assert topology.affinities == (Affinity(None, None, None),) * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "\tGPU0\tGPU1\tCPU Affinity\n",
        "GPU0\t X \t0-15\t0\t\tN/A\n",
        "\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tPHB\t0-15\nGPU1\tPHB\n",
        "\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tWHAT\t0-15\nGPU1\tPHB\t X \t0-15\n",
        "\tGPU0\tNIC0\tGPU1\tCPU Affinity\nGPU0\t X \tSYS\tSYS\nNIC0\tSYS\t X \tSYS\nGPU1\tSYS\tSYS\t X \n",
        A40[:300],
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(GpuError, match="nvidia-smi topo -m"):
        nvidia_topology.parse(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(A40)), st.integers(0, 60), st.text(max_size=10))
def test_any_damage_is_a_matrix_or_refused(start: int, length: int, inserted: str) -> None:
    try:
        topology = nvidia_topology.parse(A40[:start] + inserted + A40[start + length :])
    except GpuError:
        return
    size = len(topology.gpus) + len(topology.nics)
    assert [len(row) for row in topology.links] == [size] * size


def test_query() -> None:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        assert (argv, timeout_s) == (["nvidia-smi", "topo", "-m"], 9)
        return Result(tuple(argv), 0, A40, "")

    assert len(nvidia_topology.query(run, 9).gpus) == 7


def test_query_that_fails() -> None:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        return Result(tuple(argv), 3, "", "Not Supported\n")

    with pytest.raises(GpuError, match="exit status 3: Not Supported"):
        nvidia_topology.query(run)
