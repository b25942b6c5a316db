"""Reading p2pBandwidthLatencyTest: real captures, damaged outputs, and everything its own renderer can write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p

A100 = "a100-sxm4-x8/p2pBandwidthLatencyTest.txt"
H200 = "h200-sxm-580-open/p2pBandwidthLatencyTest.txt"
REQUIRED = tuple(name for name in p2p.NAMES if name not in p2p.OPTIONAL)


def read(fixtures: Path, name: str) -> str:
    return (fixtures / name).read_text()


def test_eight_gpus(fixtures: Path) -> None:
    report = p2p.parse(read(fixtures, A100))
    assert report.complete and report.missing == () and report.errors == ()
    assert report.devices[4] == p2p.Device(4, "NVIDIA A100-SXM4-80GB", "0000:ce:00.0")
    assert set(report.matrices) == set(REQUIRED)
    assert all(len(matrix) == 8 and {len(row) for row in matrix} == {8} for matrix in report.matrices.values())
    assert report.matrices[p2p.UNIDIRECTIONAL_OFF][7][7] == 1579.88
    assert report.matrices[p2p.UNIDIRECTIONAL_ON][5][4] == 24.53
    assert report.matrices[p2p.BIDIRECTIONAL_OFF][0][1] == 19.96
    assert report.matrices[p2p.BIDIRECTIONAL_ON][7][4] == 50.12
    assert report.matrices[p2p.GPU_LATENCY_OFF][0][0] == 2.84
    assert report.matrices[p2p.CPU_LATENCY_OFF][7][7] == 2.31
    assert report.matrices[p2p.GPU_LATENCY_ON][7][1] == 2.27
    assert report.matrices[p2p.CPU_LATENCY_ON][7][0] == 1.92


def test_one_gpu(fixtures: Path) -> None:
    report = p2p.parse(read(fixtures, H200))
    assert report.complete
    assert report.devices == (p2p.Device(0, "NVIDIA H200", "0000:00:06.0"),)
    assert report.matrices[p2p.UNIDIRECTIONAL_ON] == ((3957.57,),)
    assert report.matrices[p2p.CPU_LATENCY_ON] == ((3.71,),)


def test_no_peer_access(fixtures: Path) -> None:
    text = read(fixtures, A100).replace("CAN Access", "CANNOT Access")
    rows = [f"     {i}\t" + "".join(f"{int(i == j):6d}" for j in range(8)) for i in range(8)]
    for i, row in enumerate(rows):
        text = text.replace(f"     {i}\t     1     1     1     1     1     1     1     1", row)
    report = p2p.parse(text)
    assert report.complete
    assert report.matrices[p2p.CONNECTIVITY] == tuple(tuple(float(i == j) for j in range(8)) for i in range(8))


def test_connectivity_from_lines_when_the_matrix_is_cut_off(fixtures: Path) -> None:
    text = read(fixtures, A100).replace("Device=3 CAN Access Peer Device=5", "Device=3 CANNOT Access Peer Device=5")
    report = p2p.parse(text[: text.index("P2P Connectivity")])
    connectivity = report.matrices[p2p.CONNECTIVITY]
    assert connectivity[3][5] == 0.0 and connectivity[5][3] == 1.0 and connectivity[3][3] == 1.0
    assert not report.complete and set(report.missing) == set(REQUIRED) - {p2p.CONNECTIVITY}


def test_widths_that_run_together() -> None:
    text = "\n".join(
        [
            "Device: 0, X, pciBusID: 1, pciDeviceID: 0, pciDomainID:0",
            "Device: 1, X, pciBusID: 2, pciDeviceID: 0, pciDomainID:0",
            "Unidirectional P2P=Disabled Bandwidth Matrix (GB/s)",
            "   D\\D     0      1 ",
            "     01234.561234.56",
            "     1 123456.78  9.10",
        ]
    )
    matrices = p2p.parse(text).matrices
    assert matrices[p2p.UNIDIRECTIONAL_OFF] == ((1234.56, 1234.56), (123456.78, 9.10))


@pytest.mark.parametrize(
    "message",
    [
        "Cuda failure p2pBandwidthLatencyTest.cu:590: 'no CUDA-capable device is detected'",
        'CUDA error at p2p.cu:12 code=46(cudaErrorDevicesUnavailable) "cudaSetDevice(i)" ',
        "./p2p: error while loading shared libraries: libcudart.so.12: cannot open shared object file",
    ],
)
def test_cuda_errors(fixtures: Path, message: str) -> None:
    whole = read(fixtures, A100)
    half = whole[: whole.index("Bidirectional P2P=Disabled")]
    report = p2p.parse(half + message + "\n")
    assert report.errors == (message.strip(),)
    assert not report.complete
    assert report.matrices[p2p.UNIDIRECTIONAL_ON][5][4] == 24.53


def test_nan_and_inf_are_no_measurements() -> None:
    text = "Unidirectional P2P=Disabled Bandwidth Matrix (GB/s)\n   D\\D     0      1 \n     0    inf   -nan \n"
    report = p2p.parse(text)
    assert report.matrices[p2p.UNIDIRECTIONAL_OFF][0] == (None, None)
    assert p2p.UNIDIRECTIONAL_OFF in report.missing


@pytest.mark.parametrize("text", ["", "\n\n", "nvidia-smi: not found", "\x00\xff", "   D\\D     0\n     0   1.00"])
def test_what_is_no_output_at_all(text: str) -> None:
    report = p2p.parse(text)
    assert not report.complete and report.devices == ()


def test_reads_too(fixtures: Path) -> None:
    text = read(fixtures, H200)
    block = "Unidirectional P2P=Enabled Bandwidth (P2P Reads) Matrix (GB/s)\n   D\\D     0 \n     0 3000.01 \n"
    report = p2p.parse(text.replace("Bidirectional P2P=Disabled", block + "Bidirectional P2P=Disabled"))
    assert report.complete and report.matrices[p2p.UNIDIRECTIONAL_READ] == ((3000.01,),)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(min_value=0, max_value=8335))
def test_a_cut_never_invents_a_number(cut: int) -> None:
    """Every number in what is left of an output is the number that the whole output has in that place."""
    text = (Path(__file__).parents[2] / "fixtures" / A100).read_text()
    whole, part = p2p.parse(text), p2p.parse(text[:cut])
    for name, matrix in part.matrices.items():
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                assert value is None or value == whole.matrices[name][i][j]
    last_number = text.rindex("2.44") + 4
    assert part.complete is (cut >= last_number)


def reports(values: st.SearchStrategy[float | None]) -> st.SearchStrategy[p2p.Report]:
    def build(count: int) -> st.SearchStrategy[p2p.Report]:
        cells = st.tuples(*[st.tuples(*[values] * count)] * count)
        flags = st.tuples(*[st.tuples(*[st.sampled_from([0.0, 1.0])] * count)] * count)
        matrices = {name: flags if name == p2p.CONNECTIVITY else cells for name in p2p.NAMES}
        devices = tuple(p2p.Device(i, "NVIDIA X, Y", f"0000:{i:02x}:00.0") for i in range(count))
        return st.fixed_dictionaries(matrices).map(lambda found: p2p.Report(devices, found))

    return st.integers(min_value=1, max_value=5).flatmap(build)


NUMBERS = st.integers(min_value=0, max_value=99_999_999).map(lambda hundredths: hundredths / 100)


@settings(max_examples=40, deadline=None)
@given(report=reports(NUMBERS), gap=st.sampled_from([" ", "  ", ""]))
def test_render_then_parse_gives_it_back(report: p2p.Report, gap: str) -> None:
    assert p2p.parse(p2p.render(report, gap)) == report


@settings(max_examples=20, deadline=None)
@given(report=reports(NUMBERS | st.none()))
def test_holes_stay_holes(report: p2p.Report) -> None:
    assert p2p.parse(p2p.render(report)).matrices == report.matrices


@pytest.mark.parametrize("gap", [" ", ""])
@pytest.mark.parametrize("count", [1, 2, 4, 8, 10, 16, 24])
def test_machines_of_every_size(count: int, gap: str) -> None:
    matrix = tuple(tuple(round(1000.01 + i + j / 100, 2) for j in range(count)) for i in range(count))
    ones = ((1.0,) * count,) * count
    devices = tuple(p2p.Device(i, "NVIDIA B200", f"0001:{i:02x}:00.0") for i in range(count))
    matrices = {name: ones if name == p2p.CONNECTIVITY else matrix for name in REQUIRED}
    report = p2p.Report(devices, matrices)
    assert p2p.parse(p2p.render(report, gap)) == report
