"""A matrix as SVG: every value as text, shades as classes, findings framed, everything escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._report.heatmap import heatmap, shade, shown

NAME = re.compile(r"h[0-6d]|hl|bad")


def texts(svg: str) -> list[list[str]]:
    return [(element.text or "").split() for element in ElementTree.fromstring(svg).iter("text")]


def test_two_gpus() -> None:
    svg = heatmap("One way", [[1536.38, 20.56], [24.18, None]], "GB/s", [(0, 1)])
    assert texts(svg) == [["0", "1"], ["0", "1536", "20.6"], ["1", "24.2", "-"]]
    assert 'aria-label="One way: 2 GPUs, median 22.4 GB/s, lowest 20.6 (GPU 0 to 1), highest 24.2 (GPU 1 to 0)"' in svg
    assert '<path class="hd" d="M0 0h1v1H0zM1 1h1v1H1z"/>' in svg
    assert '<path class="bad" d="M1 0h1v1H1z"/>' in svg


def test_links() -> None:
    svg = heatmap("Topology", [["X", "NV12", "SYS"], ["NV12", "X", "PIX"], ["SYS", "PIX", "X"]])
    assert texts(svg)[1] == ["0", "X", "NV12", "SYS"]
    assert {"h6", "h4", "h0", "hd"} <= set(re.findall(r'class="(h\w)"', svg))


def test_a_run_of_equal_cells_is_one_shape() -> None:
    svg = heatmap("x", [[1.0, 5.0, 5.0, 5.0]] * 4)
    assert svg.count("M1 0h3v1H1z") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (2.284, "2.28"),
        (20.56, "20.6"),
        (390.94, "390.9"),
        (3957.57, "3958"),
        (999.97, "1000"),
        (123456.0, "1e05"),
        ("NODE", "NODE"),
    ],
)
def test_shown(value: float | str | None, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "top", "step"),
    [(100.0, 100.0, 6), (1.0, 100.0, 0), (50.0, 100.0, 3), (None, 1.0, None), (1.0, 0, None)],
)
def test_shade(value: float | None, top: float, step: int | None) -> None:
    assert shade(value, top) == step


@pytest.mark.parametrize(
    "matrix", [[], [[1.0]], [[None, None], [None, None]], [[1.0, 2.0, 3.0]], [["<b>", "&"], ["'", '"']]]
)
def test_odd_matrices_are_still_svg(matrix: list[list[float | str | None]]) -> None:
    svg = heatmap('<i>"&', matrix, "GB/s", [(9, 9), (-1, 0)])
    ElementTree.fromstring(svg)
    assert "<b>" not in svg and "<i>" not in svg and 'class="bad"' not in svg


@given(st.floats(min_value=0))
def test_no_number_is_wider_than_its_cell(value: float) -> None:
    assert len(shown(value)) <= 5


CELLS = st.floats(min_value=0) | st.none()  # huge, tiny and infinite ones too: a broken measurement is still a page


@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=4, max_size=4))
@example([[1.7e308, 1.7e308, 5e-324, None]] * 4)
def test_every_value_is_in_the_picture(matrix: list[list[float | None]]) -> None:
    svg = heatmap("x", matrix, "us")
    assert [row[1:] for row in texts(svg)[1:]] == [[shown(value) for value in row] for row in matrix]
    assert all(NAME.fullmatch(name) for name in re.findall(r'<(?:path|text) class="(.*?)"', svg))
