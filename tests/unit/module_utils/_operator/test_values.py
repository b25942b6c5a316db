"""Typed wishes → values: merge order, registry prefix, and what each variable hits."""

from __future__ import annotations

from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator.values import merge, misspelt, series_name

MERGE = [
    (({"a": 1}, {"a": 2}), {"a": 2}),
    (({"a": {"b": 1, "c": 1}}, {"a": {"c": 2}}), {"a": {"b": 1, "c": 2}}),
    (({"a": [1, 2]}, {"a": [3]}), {"a": [3]}),
    (({"a": {"b": 1}}, {"a": 5}), {"a": 5}),
    (({"a": 5}, {"a": {"b": 1}}), {"a": {"b": 1}}),
    ((), {}),
]


@pytest.mark.parametrize(("layers", "expected"), MERGE)
def test_merge(layers: tuple[dict[str, Any], ...], expected: dict[str, Any]) -> None:
    assert merge(*layers) == expected


def test_merge_leaves_its_arguments_alone() -> None:
    first: dict[str, Any] = {"a": {"b": 1}}
    merge(first, {"a": {"c": 2}})
    assert first == {"a": {"b": 1}}


def at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


CHART = {"service_monitor": {"by": "chart", "namespace": "m", "interval": "15s", "labels": {"a": "b"}}}
HITS = [
    ({}, "driver.enabled", False),
    ({"driver": "operator"}, "driver.enabled", True),
    ({}, "operator.upgradeCRD", False),
    ({}, "dcgmExporter.serviceMonitor", {"enabled": False}),
    (CHART, "dcgmExporter.serviceMonitor", {"enabled": True, "interval": "15s", "additionalLabels": {"a": "b"}}),
    ({}, "devicePlugin.config.name", ""),
    ({"sharing": cluster.COMMON}, "devicePlugin.config.name", "time-slicing-config"),
    ({"image_registry": "r/x/"}, "toolkit.repository", "r/x/nvidia/k8s"),
    ({"image_registry": "r/x"}, "driver.manager.repository", "r/x/nvidia/cloud-native"),
    ({"image_registry": "r/x"}, "validator.repository", "r/x/nvidia"),
    ({"image_registry": "r/x", "version": "v22.9.2"}, "validator.repository", "r/x/nvidia/cloud-native"),
    ({"image_registry": "r/x"}, "node-feature-discovery.image.repository", "r/x/nfd/node-feature-discovery"),
    ({"images": {"node-feature-discovery": {"tag": "v0.10.1"}}}, "node-feature-discovery.image.tag", "v0.10.1"),
    ({"images": {"devicePlugin": {"version": "v0.20.1"}}}, "devicePlugin.version", "v0.20.1"),
    ({"images": {"driver.manager": {"version": "v1"}}}, "driver.manager.version", "v1"),
    ({"image_registry": "r", "images": {"toolkit": {"repository": "z"}}}, "toolkit.repository", "z"),
    ({"pull_secrets": ["s"]}, "toolkit.imagePullSecrets", ["s"]),
    ({"pull_secrets": ["s"]}, "node-feature-discovery.imagePullSecrets", [{"name": "s"}]),
    ({"values": {"driver": {"enabled": True}}}, "driver.enabled", True),
    ({"values": {"toolkit": {"env": [{"name": "A", "value": "1"}]}}}, "toolkit.env", [{"name": "A", "value": "1"}]),
]


@pytest.mark.parametrize(("wanted", "path", "value"), HITS)
def test_what_a_variable_hits(wanted: dict[str, Any], path: str, value: Any) -> None:
    assert at(cluster.wanted(**wanted).values, path) == value


def test_the_free_values_decide_which_driver_is_meant() -> None:
    assert cluster.wanted(values={"driver": {"enabled": True}}).driver == "operator"


@pytest.mark.parametrize(("version", "series"), [
    ("v22.9.2", "22.9"), ("22.9.2", "22.9"), ("v23.6.1", "23.6"), ("v25.10.1", "25.10"), ("v26.3.3", "26.3"),
    ("v26.7.0", "26.7"),
])  # fmt: skip
def test_known_versions(version: str, series: str) -> None:
    assert series_name(version, cluster.VERSIONS) == series


@pytest.mark.parametrize("version", ["v99.1.0", "latest", "v26.7", ""])
def test_unknown_versions(version: str) -> None:
    with pytest.raises(GpuError, match=r"known are v22\.9\.x"):
        series_name(version, cluster.VERSIONS)


@pytest.mark.parametrize(
    ("version", "series"), [("v99.1.0", cluster.NEWEST), ("v25.6.0", "25.3"), ("v26.1.0", "25.10"), ("v1.8.0", "22.9")]
)
def test_an_unchecked_version_is_taken_for_the_one_before_it(version: str, series: str) -> None:
    assert series_name(version, cluster.VERSIONS, unchecked=True) == series


def test_an_unchecked_version_must_still_be_one() -> None:
    with pytest.raises(GpuError):
        series_name("latest", cluster.VERSIONS, unchecked=True)


CHART_VALUES = {"toolkit": {"enabled": True, "env": [], "resources": {}}, "devicePlugin": {"config": {"name": ""}},
                "node-feature-discovery": {"master": {"serviceAccount": {"name": "nfd"}}}, "daemonsets": {"labels": {}}}  # fmt: skip
SPELLING: list[tuple[dict[str, Any], list[str]]] = [
    ({"toolkit": {"enabled": False, "env": [{"name": "A"}]}}, []),
    ({"toolkt": {"enabled": False}}, ["toolkt (did you mean toolkit?)"]),
    ({"toolkit": {"enable": False}}, ["toolkit.enable (did you mean toolkit.enabled?)"]),
    ({"devicePlugin": {"config": {"nane": "x"}}}, []),  # too little in common to be sure
    ({"toolkit": {"version": "v1", "imagePullSecrets": ["s"]}}, []),  # the chart knows them without a default
    ({"daemonsets": {"labels": {"any": "thing"}}, "toolkit": {"resources": {"limits": {}}}}, []),
    ({"node-feature-discovery": {"master": {"serviceAcount": {}}}}, []),
]


@pytest.mark.parametrize(("given", "expected"), SPELLING)
def test_a_misspelt_value_is_told(given: dict[str, Any], expected: list[str]) -> None:
    assert misspelt(given, CHART_VALUES) == expected
