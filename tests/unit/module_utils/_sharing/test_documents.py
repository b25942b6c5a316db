"""Typed sharing configs → device plugin documents, their faults, and what they must lead to."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents

GPU = "nvidia.com/gpu"


def sliced(**more: Any) -> dict[str, Any]:
    """A document with time-slicing of one resource."""
    return {"sharing": {"timeSlicing": {"resources": [{"name": GPU, "replicas": 4, **more}]}}}


@pytest.mark.parametrize(
    ("config", "document"),
    [
        pytest.param(
            {"mode": "time_slicing", "replicas": 4},
            {
                "version": "v1",
                "sharing": {"timeSlicing": {"renameByDefault": True, "resources": [{"name": GPU, "replicas": 4}]}},
            },
            id="time-slicing",
        ),
        pytest.param(
            {
                "mode": "mps",
                "replicas": 2,
                "rename": False,
                "fail_requests_greater_than_one": True,
                "mig_strategy": "none",
            },
            {
                "version": "v1",
                "flags": {"migStrategy": "none"},
                "sharing": {
                    "mps": {
                        "renameByDefault": False,
                        "failRequestsGreaterThanOne": True,
                        "resources": [{"name": GPU, "replicas": 2}],
                    }
                },
            },
            id="mps",
        ),
        pytest.param({"mode": "none"}, {"version": "v1"}, id="none"),
        pytest.param({"raw": sliced()}, {"version": "v1", **sliced()}, id="raw-without-version"),
        pytest.param(
            {"raw": {"version": "v1", "flags": {"plugin": {"deviceListStrategy": ["envvar", "cdi-cri"]}}}},
            {"version": "v1", "flags": {"plugin": {"deviceListStrategy": ["envvar", "cdi-cri"]}}},
            id="raw-flags",
        ),
    ],
)
def test_documents(config: dict[str, Any], document: dict[str, Any]) -> None:
    assert sharing_documents.documents({"common": config}) == {"common": document}


TS = "sharing.timeSlicing"
TYPED_FAULTS = [
    ({"mode": "time_slicing", "replicas": 0}, "common.replicas: must be a whole number of at least 2, found 0"),
    ({"mode": "time_slicing", "replicas": 1}, "common.replicas: must be a whole number of at least 2, found 1"),
    ({"mode": "time_slicing", "replicas": -3}, "common.replicas: must be a whole number of at least 2, found -3"),
    ({"mode": "time_slicing", "replicas": "4"}, "common.replicas: must be a whole number of at least 2, found '4'"),
    ({"mode": "mps", "replicas": "four"}, "common.replicas: must be a whole number of at least 2, found 'four'"),
    ({"mode": "mps", "replicas": True}, "common.replicas: must be a whole number of at least 2, found True"),
    ({"mode": "mps", "replicas": 2.5}, "common.replicas: must be a whole number of at least 2, found 2.5"),
    ({"mode": "mps"}, "common.replicas: is missing"),
    ({"replicas": 2}, "common.mode: must be one of time_slicing, mps, none, found None"),
    ({"mode": ["mps"]}, "common.mode: must be one of time_slicing, mps, none, found ['mps']"),
    ({"mode": "none", "replicas": 2}, "common.replicas: has no meaning with mode none"),
    ({"mode": "mps", "replicas": 2, "rename": "yes"}, "common.rename: must be true or false, found 'yes'"),
    (
        {"mode": "mps", "replicas": 2, "renameByDefault": True},
        "common.renameByDefault: unknown key, did you mean rename",
    ),
    ({"mode": "mps", "replicas": 2, "flags": {}}, "common.flags: unknown key, write a whole document"),
    ({"mode": "mps", "replicas": 2, "mig_strategy": "mixed"}, "common.mig_strategy: MPS cannot share MIG devices"),
    ({"mode": "mps", "replicas": 2, "resource": "nvidia.com/mig-1g.5gb"}, "common.resource: MPS shares nvidia.com/gpu"),
    ({"mode": "mps", "replicas": 2, "resource": "amd.com/gpu"}, "common.resource: must be a resource such as"),
    ({"mode": "mps", "replicas": 2, "resource": GPU + ".shared"}, "common.resource: must be the resource before"),
    ({"mode": "none", "mig_strategy": "both"}, "common.mig_strategy: must be one of none, single, mixed"),
    ("four", "common: must be a map, found 'four'"),
    ({"raw": {}, "mode": "mps"}, "common.raw: must be alone, found also mode"),
]
RAW_FAULTS = [
    ({"flags": {"renameByDefault": True}}, f"common.flags.renameByDefault: belongs to {TS}.renameByDefault"),
    (
        {"flags": {"renameByDefault": True}, "sharing": {"mps": {"resources": [{"name": GPU, "replicas": 2}]}}},
        "common.flags.renameByDefault: belongs to sharing.mps.renameByDefault",
    ),
    ({"flags": {"rename_by_default": True}}, f"common.flags.rename_by_default: belongs to {TS}.renameByDefault"),
    ({"timeSlicing": {}}, f"common.timeSlicing: belongs to {TS}"),
    ({"migStrategy": "none"}, "common.migStrategy: belongs to flags.migStrategy"),
    (
        {"sharing": {"timeSlicing": {"replicas": 2, "resources": [{"name": GPU, "replicas": 2}]}}},
        f"common.{TS}.replicas: belongs to {TS}.resources[].replicas",
    ),
    ({"sharing": {"timeslicing": {}}}, "common.sharing.timeslicing: is spelled timeSlicing"),
    ({"sharing": {"timeSlicin": {}}}, "common.sharing.timeSlicin: unknown key, did you mean timeSlicing?"),
    ({"sharing": {"xyz": 1}}, "common.sharing.xyz: unknown key, known here: timeSlicing, mps"),
    ({"sharing": None}, "common.sharing: must be a map, found None"),
    ({"sharing": {"timeSlicing": {}}}, f"common.{TS}.resources: is missing"),
    ({"sharing": {"timeSlicing": {"resources": []}}}, f"common.{TS}.resources: must be a list with at least one entry"),
    ({"sharing": {"timeSlicing": {"resources": [{"replicas": 2}]}}}, f"common.{TS}.resources[0].name: is missing"),
    (sliced(replicas=1), f"common.{TS}.resources[0].replicas: must be a whole number"),
    (sliced(devices=[0]), f"common.{TS}.resources[0].devices: the device plugin ignores this"),
    (sliced(rename="nvidia.com/part"), f"common.{TS}.resources[0].rename: the device plugin ignores this"),
    (
        {"sharing": {"timeSlicing": {"resources": [{"name": GPU, "replicas": 2}, {"name": "gpu", "replicas": 3}]}}},
        f"common.{TS}.resources[1].name: nvidia.com/gpu is named twice",
    ),
    (
        {"sharing": {kind: {"resources": [{"name": GPU, "replicas": 2}]} for kind in ("timeSlicing", "mps")}},
        "common.sharing: timeSlicing and mps exclude each other",
    ),
    ({"version": "v2"}, "common.version: must be one of v1, found 'v2'"),
    ({"resources": {"gpus": []}}, "common.resources: the device plugin ignores this"),
    ({"flags": {"gfd": {"sleepInterval": 60}}}, "common.flags.gfd.sleepInterval: must be a duration"),
    ({"flags": {"plugin": {"deviceListStrategy": "cdi"}}}, "common.flags.plugin.deviceListStrategy: must be of"),
    ({"imex": {"channelIDs": [1]}}, "common.imex.channelIDs: must be [] or [0]"),
    ("text", "common: must be a map"),
]


@pytest.mark.parametrize(
    ("config", "said"), [*TYPED_FAULTS, *(({"raw": document}, said) for document, said in RAW_FAULTS)]
)
def test_faults_have_their_path(config: Any, said: str) -> None:
    with pytest.raises(GpuError) as caught:
        sharing_documents.documents({"common": config})
    assert said in caught.value.found
    assert ";" not in caught.value.found, "one fault is one message"


def test_all_faults_of_all_configs_are_named() -> None:
    with pytest.raises(GpuError) as caught:
        sharing_documents.documents(
            {"a": {"mode": "mps"}, "b": {"raw": {"x": 1, "sharing": ["mps"], "flags": {"gdsEnabled": 1}}}, "c d": {}}
        )
    for path in ("a.replicas:", "b.x:", "b.sharing:", "b.flags.gdsEnabled:", "c d: as the value of the node label"):
        assert path in caught.value.found


RENAMED = {"mode": "time_slicing", "replicas": 4}
PLAIN = {"mode": "time_slicing", "replicas": 4, "rename": False}
_PARTS = {"renameByDefault": True, "resources": [{"name": "mig-1g.5gb", "replicas": 3}]}
MIG = {"raw": {"sharing": {"timeSlicing": _PARTS}}}


@pytest.mark.parametrize(
    ("config", "devices", "expected", "strategy"),
    [
        (RENAMED, 1, {GPU + ".shared": 4}, "time-slicing"),
        (RENAMED, 8, {GPU + ".shared": 32}, "time-slicing"),
        (PLAIN, 2, {GPU: 8}, "time-slicing"),
        ({"mode": "mps", "replicas": 10}, 2, {GPU + ".shared": 20}, "mps"),
        ({"mode": "none"}, 2, {GPU: 2}, "none"),
        (RENAMED, 0, {GPU + ".shared": 0}, "time-slicing"),
        (
            MIG,
            {GPU: 1, "nvidia.com/mig-1g.5gb": 7, "nvidia.com/mig-3g.20gb": 1},
            {GPU: 1, "nvidia.com/mig-1g.5gb.shared": 21, "nvidia.com/mig-3g.20gb": 1},
            "time-slicing",
        ),
    ],
)
def test_expected_resources(config: dict[str, Any], devices: Any, expected: dict[str, int], strategy: str) -> None:
    document = sharing_documents.documents({"x": config})["x"]
    assert sharing_documents.expected_resources(document, devices) == expected
    assert sharing_documents.strategy(document) == strategy


@pytest.mark.parametrize(
    ("label", "state"),
    [(None, "absent"), *((s, s) for s in ("pending", "success", "failed", "rebooting")), ("odd", "unknown")],
)
def test_mig_state(label: str | None, state: str) -> None:
    labels = {} if label is None else {"nvidia.com/mig.config.state": label}
    assert sharing_documents.mig_state(labels) == state


@pytest.mark.parametrize(
    ("value", "known", "said"),
    [
        ("all-disabled", (), None),
        ("all-1g.10gb", (), None),
        ("custom-one", (), None),
        ("1g.5gb", ("1g.5gb",), None),
        ("1g.5gb", (), "did you mean all-1g.5gb?"),
        ("all-1g.5g", ("all-1g.5gb", "all-disabled"), "near: all-1g.5gb"),
        ("", (), "must be the name of a MIG layout"),
        (False, (), "must be the name of a MIG layout"),
        ("all 1g", (), "must be empty or up to 63"),
    ],
)
def test_mig_config_fault(value: Any, known: tuple[str, ...], said: str | None) -> None:
    found = sharing_documents.mig_config_fault(value, known)
    assert found is None if said is None else said in (found or "")


def test_assignment_faults() -> None:
    configs = sharing_documents.documents({"common": RENAMED, "daemon": {"mode": "mps", "replicas": 2}})
    sharing = {"n1": "common", "n2": "comon", "n3": "daemon", "n4": "daemon", "n5": "zzz"}
    mig = {"n3": "all-1g.5gb", "n4": "all-disabled", "n1": "all-1g.5gb", "n6": "1g.5gb"}
    assert sharing_documents.assignment_faults(sharing, mig, configs) == [
        "n2: no sharing config named 'comon', did you mean common?",
        "n3: MPS (daemon) cannot share MIG devices (all-1g.5gb)",
        "n5: no sharing config named 'zzz', there are common, daemon",
        "n6: '1g.5gb' is a profile, not a layout, did you mean all-1g.5gb?",
    ]


PLACE = sharing_configmap.Place("m", "ns")
DOCUMENTS = sharing_documents.documents({"common": RENAMED})


def config_map(documents: Any = DOCUMENTS, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": sharing_configmap.MANAGED_BY, **metadata},
        "data": {name: yaml.safe_dump(document) for name, document in documents.items()},
    }


PENDING = sharing_configmap.PENDING
OLD = {"old": {}, "common": {}}
DUE: list[tuple[str, Any, set[str], list[str]]] = [
    # what is there, the configs that running pods may have read, the requests
    ("nothing", None, {"*"}, ["create"]),
    ("as wanted", config_map(), set(), []),
    ("changed, and one gone", config_map(OLD), {"old", "common"}, ["merge_patch"]),
    ("labels only", config_map(labels={}), set(), ["merge_patch"]),
    ("a run broke off before the restart", config_map(annotations={PENDING: "common"}), {"common"}, []),
    ("a run of old broke off", config_map(annotations={PENDING: "true"}), {"*"}, ["merge_patch"]),
    (
        "a run broke off, and another changed",
        config_map({**DOCUMENTS, "x": {}}, annotations={PENDING: "y"}),
        {"x", "y"},
        ["merge_patch"],
    ),
]


@pytest.mark.parametrize(("present", "due", "methods"), [row[1:] for row in DUE], ids=[row[0] for row in DUE])
def test_what_is_due(present: Any, due: set[str], methods: list[str]) -> None:
    assert sharing_configmap.due(present, DOCUMENTS) == due
    assert [each.method for each in sharing_configmap.plan(PLACE, present, DOCUMENTS, bool(due))] == methods
    assert sharing_configmap.stale(present, DOCUMENTS) is bool(due)


def test_the_note_is_written_with_the_change() -> None:
    (first,) = sharing_configmap.plan(PLACE, config_map(OLD), DOCUMENTS, restarts=True)
    assert first.body["metadata"]["annotations"] == {PENDING: "common,old"}
    assert set(first.body["data"]) == {"old", "common"}
    assert first.body["data"]["old"] is None
    assert yaml.safe_load(first.body["data"]["common"]) == DOCUMENTS["common"]
    assert sharing_configmap.settle(PLACE).body == {"metadata": {"annotations": {PENDING: None}}}


def test_text_that_means_the_same_stays() -> None:
    text = "# by hand\nversion: v1\nsharing: {timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, replicas: 4}]}}\n"
    assert sharing_configmap.data(DOCUMENTS, {"common": text}) == {"common": text}
    assert sharing_configmap.data(DOCUMENTS, {"common": "a: [broken"})["common"] != "a: [broken"


def test_consumers_mount_the_map() -> None:
    def daemonset(name: str, volumes: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"template": {"spec": {"volumes": volumes}}}}

    found = [
        daemonset("plugin", [{"configMap": {"name": "m"}}]),
        daemonset("gfd", [{"hostPath": {}}, {"configMap": {"name": "m"}}]),
        daemonset("other", [{"configMap": {"name": "n"}}]),
        daemonset("none", None),
    ]
    assert sharing_configmap.consumers(found, "m") == ["gfd", "plugin"]


def test_readable() -> None:
    assert sharing_configmap.readable(None) is None
    assert sharing_configmap.readable({"b": "x: 1\n", "a": "y: 2"}) == "# a\ny: 2\n# b\nx: 1\n"
