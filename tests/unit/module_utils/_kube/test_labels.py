"""Wanted and present labels → patches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import labels


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", ""), ("False", "False"), (False, "false"), (True, "true"), (4, "4"), (1.5, "1.5"), (0, "0")],
)
def test_text(value: object, expected: str | None) -> None:
    assert labels.text(value) == expected


@pytest.mark.parametrize(
    ("wanted", "owned", "present", "patches"),
    [
        pytest.param({"a": {"k": "v"}}, [], {"a": {}}, {"a": {"k": "v"}}, id="set"),
        pytest.param({"a": {"k": "v"}}, [], {"a": {"k": "v"}}, {}, id="there"),
        pytest.param({"a": {"k": "v"}}, [], {"a": {"k": "w"}}, {"a": {"k": "v"}}, id="differs"),
        pytest.param({"a": {"k": None}}, [], {"a": {"k": "w"}}, {"a": {"k": None}}, id="null-removes"),
        pytest.param({"a": {"k": None}}, [], {"a": {}}, {}, id="null-and-absent"),
        pytest.param({"a": {"k": ""}}, [], {"a": {}}, {"a": {"k": ""}}, id="empty-is-a-value"),
        pytest.param({"a": {"k": "v"}}, [], {"a": {"k": "v", "z": "1"}}, {}, id="foreign-key-stays"),
        pytest.param({"a": {}}, ["z"], {"a": {"z": "1", "y": "2"}}, {"a": {"z": None}}, id="owned-not-asked-for"),
        pytest.param({"a": {"z": "1"}}, ["z"], {"a": {"z": "1"}}, {}, id="owned-and-asked-for"),
        pytest.param({"a": {}}, ["z"], {"a": {}, "b": {"z": "1"}}, {}, id="unnamed-node-stays"),
        pytest.param(
            {"b": {"k": "1"}, "a": {"k": "2"}}, [], {"a": {}, "b": {}}, {"a": {"k": "2"}, "b": {"k": "1"}}, id="sorted"
        ),
    ],
)
def test_plan(wanted: dict, owned: list, present: dict, patches: dict) -> None:
    found = labels.plan(wanted, owned, present)
    assert {patch.node: patch.after for patch in found} == patches
    assert [patch.node for patch in found] == sorted(patches)


_KEYS = st.sampled_from(["a", "b", "c", "d"])
_PRESENT = st.dictionaries(_KEYS, st.sampled_from(["1", "2"]))
_WANTED = st.dictionaries(_KEYS, st.sampled_from(["1", "2", None]))


@given(_WANTED, st.lists(_KEYS), _PRESENT)
def test_plan_of_the_planned_is_empty(wanted: dict, owned: list, present: dict) -> None:
    after = dict(present)
    for patch in labels.plan({"n": wanted}, owned, {"n": present}):
        assert set(patch.after) <= set(wanted) | set(owned)
        after.update(patch.after)
    after = {key: value for key, value in after.items() if value is not None}
    assert labels.plan({"n": wanted}, owned, {"n": after}) == ()
    assert {k: v for k, v in after.items() if k not in {*wanted, *owned}} == {
        k: v for k, v in present.items() if k not in {*wanted, *owned}
    }


@pytest.mark.parametrize("key", ["k", "nvidia.com/mig.config", "a.b-c/D_e.f", "k" * 63, "d" * 253 + "/k"])
def test_good_keys(key: str) -> None:
    assert labels.key_fault(key) is None


@pytest.mark.parametrize(
    "key", ["", "/k", "nvidia.com/", "-k", "k-", "k" * 64, "d" * 254 + "/k", "Nvidia.com/k", "a/b/c", "k k", "k\n", 4]
)
def test_bad_keys(key: object) -> None:
    assert labels.key_fault(key) is not None


@pytest.mark.parametrize("value", ["a b", "-a", "a-", "x" * 64, "a/b", "a\n", [], {}, 1e30, -1])
def test_bad_values(value: object) -> None:
    assert labels.value_fault(value) is not None


def test_normalised_names_every_fault() -> None:
    with pytest.raises(GpuError) as caught:
        labels.normalised({"n1": {"k": "a b"}, "n2": ["k"], "n3": {"-": "v"}}, ["o wned"])
    for part in ("n1: k: value 'a b'", "n2: wants a map", "n3: -: key '-'", "owned_keys: key 'o wned'"):
        assert part in str(caught.value)


def test_normalised_shortens_a_long_list() -> None:
    with pytest.raises(GpuError, match="and 90 more"):
        labels.normalised({f"n{i}": {"k": "a b"} for i in range(100)}, [])


def test_unknown_node_with_near_names() -> None:
    with pytest.raises(GpuError) as caught:
        labels.require_known(["gpu-1", "zzz", "gpu-02"], ["gpu-01", "gpu-02"], "https://x")
    assert "no node named gpu-1 (near: gpu-01, gpu-02); zzz; the cluster has 2 nodes" in caught.value.found


def test_known_nodes_pass() -> None:
    labels.require_known(["a"], ["a", "b"], "https://x")


def test_refused_by() -> None:
    patch = labels.NodePatch("n", {"k": None, "z": "1"}, {"k": "v", "z": None})
    assert patch.refused_by({"k": "v"}) == {}
    assert patch.refused_by({"z": "1"}) == {"k": "v", "z": None}
