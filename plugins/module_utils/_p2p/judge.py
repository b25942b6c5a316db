# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge whether measurements are what this machine should reach.

Two yardsticks: thresholds that the user gives for a GPU model, and the machine itself. Pairs of GPUs that are connected
in the same way (same word in ``nvidia-smi topo -m``) are equals; what equals reach is what each of them should reach.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.evidence import Evidence, Pair, Reason, Threshold, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.usual import least

#: A pair below this part of what its equals reach: warn, fail.
SLOW, VERY_SLOW = 0.75, 0.5
#: The slower direction of a pair in parts of the faster one: warn, fail.
ASYMMETRIC, VERY_ASYMMETRIC = 0.8, 0.5
#: Peer access that gives less than this part of a copy through the host is being redirected (ACS, IOMMU).
REDIRECTED = 0.75
#: The slowest NVLink of the last ten years gives 14 GB/s in one direction; below this the traffic goes elsewhere.
NVLINK_GB_PER_S_PER_LINK = 10.0
#: A latency this many times that of its equals, and this much above it, is odd.
SLOW_LATENCY, SLOW_LATENCY_US = 3.0, 5.0

_WORDS = {
    p2p.UNIDIRECTIONAL_ON: "one-way bandwidth with peer access",
    p2p.UNIDIRECTIONAL_READ: "one-way read bandwidth with peer access",
    p2p.BIDIRECTIONAL_ON: "two-way bandwidth with peer access",
    p2p.GPU_LATENCY_ON: "latency with peer access",
}
_BANDWIDTHS = (p2p.UNIDIRECTIONAL_ON, p2p.UNIDIRECTIONAL_READ, p2p.BIDIRECTIONAL_ON)


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict: the worst of its reasons."""
    reasons = tuple(_once(reason for rule in RULES for reason in rule(evidence)))
    severities = {reason.severity for reason in reasons}
    verdict = "fail" if "fail" in severities else "warn" if severities else "ok"
    if evidence.count == 1 and not reasons:
        return Verdict(verdict, "one GPU: there is no pair to test")
    pairs = evidence.count * (evidence.count - 1)
    findings = f"{len(reasons)} finding{'s' * (len(reasons) != 1)}"
    return Verdict(
        verdict, f"{evidence.count} GPU{'s' * (evidence.count != 1)}, {pairs} directed pairs, {findings}", reasons
    )


def _once(reasons: Iterator[Reason]) -> Iterator[Reason]:
    """Keep the first finding about a pair in a matrix; later rules, and the other direction, only repeat it."""
    seen: dict[tuple[str | None, frozenset[int]], tuple[Pair, str]] = {}
    for reason in reasons:
        key = (reason.matrix, frozenset(reason.pair or ()))
        first = seen.get(key)
        if reason.pair is None or first is None or (first[0] != reason.pair and first[1] == reason.rule):
            yield reason
        if reason.pair is not None and first is None:
            seen[key] = (reason.pair, reason.rule)


def _finding(
    evidence: Evidence, rule: str, severity: str, matrix: str, pair: Pair, expected: float, why: str
) -> Reason:
    measured = evidence.value(matrix, *pair)
    unit, bound = ("us", "at most") if matrix.endswith("_us") else ("GB/s", "at least")
    what = f"{_WORDS[matrix]} is {measured:.2f} {unit}"
    message = f"{evidence.named(pair)}: {what}, expected {bound} {expected:.2f} ({why})"
    return Reason(rule, severity, message, pair, matrix, measured, round(expected, 2))


def _run(evidence: Evidence) -> Iterator[Reason]:
    """Look whether the test itself failed or ended early."""
    for error in evidence.report.errors:
        yield Reason("cuda_error", "fail", f"the test stopped with: {error}")
    if not evidence.count:
        yield Reason("incomplete", "fail", "the test printed no measurement")
    elif evidence.gpu_count is not None and evidence.count < evidence.gpu_count:
        message = f"nvidia-smi lists {evidence.gpu_count} GPUs, the test saw {evidence.count}"
        yield Reason("missing_gpu", "fail", message, measured=evidence.count, expected=evidence.gpu_count)
    elif evidence.report.missing:
        names = ", ".join(evidence.report.missing)
        yield Reason("incomplete", "fail", f"the output is cut off or has holes: {names}")


def _peer_access(evidence: Evidence) -> Iterator[Reason]:
    """Find pairs without peer access. Where none has it, and no NVLink says it should, that is one finding about the machine."""
    pairs = [(i, j) for i in range(evidence.count) for j in range(evidence.count) if i != j]
    if len(pairs) > 2 and not evidence.groups and not any(evidence.link(*pair).startswith("NV") for pair in pairs):
        severity = "fail" if evidence.require_peer_access else "warn"
        message = f"no pair of the {evidence.count} GPUs has peer access, copies go through the host's memory"
        yield Reason("no_peer_access", severity, message, None, p2p.CONNECTIVITY, 0.0, 1.0)
        return
    for i in range(evidence.count):
        for j in range(evidence.count):
            if i == j or evidence.access(i, j):
                continue
            link = evidence.link(i, j)
            nvlink, peers = link.startswith("NV"), evidence.groups.get(link, ())
            severity = "fail" if nvlink or evidence.require_peer_access else "warn"
            others = "equally connected pairs have it" if peers else "no equally connected pair has it"
            why = "they are joined by NVLink" if nvlink else others
            message = f"{evidence.named((i, j))}: no peer access, copies go through the host's memory ({why})"
            yield Reason("no_peer_access", severity, message, (i, j), p2p.CONNECTIVITY, 0.0, 1.0)


def _thresholds(evidence: Evidence) -> Iterator[Reason]:
    limits: tuple[tuple[str, Callable[[Threshold], float | None]], ...] = (
        (p2p.UNIDIRECTIONAL_ON, lambda threshold: threshold.unidirectional_gb_per_s),
        (p2p.BIDIRECTIONAL_ON, lambda threshold: threshold.bidirectional_gb_per_s),
        (p2p.GPU_LATENCY_ON, lambda threshold: threshold.gpu_latency_us),
    )
    for matrix, limit_of in limits:
        for link, pairs in evidence.groups.items():
            for pair, value in evidence.measured(matrix, pairs).items():
                threshold = _threshold(evidence, pair[0], link)
                limit = limit_of(threshold) if threshold else None
                wrong = limit is not None and (value > limit if matrix.endswith("_us") else value < limit)
                if threshold is not None and limit is not None and wrong:
                    why = f"threshold for {threshold.product_name}"
                    yield _finding(evidence, "threshold", "fail", matrix, pair, limit, why)


def _threshold(evidence: Evidence, gpu: int, link: str) -> Threshold | None:
    """Return the first threshold that fits the GPU's name and the path."""
    name = evidence.report.devices[gpu].name if gpu < len(evidence.report.devices) else ""
    path = "nvlink" if link.startswith("NV") else "pcie"
    fitting = (t for t in evidence.thresholds if t.product_name in name and t.path in (None, path))
    return next(fitting, None)


def _floor(link: str) -> float:
    """Return what NVLinks of any generation give, in GB/s; 0 for another path."""
    return int(link[2:]) * NVLINK_GB_PER_S_PER_LINK if link.startswith("NV") and link[2:].isdigit() else 0.0


def _nvlink_floor(evidence: Evidence) -> Iterator[Reason]:
    """Find NVLinks that are as slow as PCIe: they are not used."""
    for link, pairs in evidence.groups.items():
        floor = _floor(link)
        for pair, value in evidence.measured(p2p.UNIDIRECTIONAL_ON, pairs).items():
            if value < floor:
                why = f"{link[2:]} NVLinks at {NVLINK_GB_PER_S_PER_LINK:.0f} GB/s each, the least any generation gives"
                yield _finding(evidence, "nvlink_floor", "fail", p2p.UNIDIRECTIONAL_ON, pair, floor, why)


def usual(values: Mapping[Pair, float], known_topology: bool) -> float:
    """Return what equals reach. With a known topology: the median over GPUs of each one's best, so that one bad GPU of three,
    which spoils most pairs, does not set the standard. Otherwise the pairs may differ, and their median is safer."""
    if not known_topology:
        return statistics.median_high(values.values())
    best: dict[int, float] = {}
    for (i, j), value in values.items():
        best[i], best[j] = max(best.get(i, 0.0), value), max(best.get(j, 0.0), value)
    return statistics.median_high(best.values())


def _slow_pairs(evidence: Evidence) -> Iterator[Reason]:
    for matrix in _BANDWIDTHS:
        for link, pairs in evidence.groups.items():
            values = evidence.measured(matrix, pairs)
            if len(values) < 3:
                continue
            expected = usual(values, bool(link))
            for pair, value in values.items():
                if value < SLOW * expected:
                    severity = "fail" if value < VERY_SLOW * expected else "warn"
                    why = f"{SLOW:.0%} of the {expected:.2f} GB/s that equally connected pairs reach"
                    yield _finding(evidence, "slow_pair", severity, matrix, pair, SLOW * expected, why)


def _asymmetric(evidence: Evidence) -> Iterator[Reason]:
    for matrix in _BANDWIDTHS:
        for pairs in evidence.groups.values():
            values = evidence.measured(matrix, pairs)
            for (i, j), value in values.items():
                back = values.get((j, i), value)
                if value < ASYMMETRIC * back:
                    severity = "fail" if value < VERY_ASYMMETRIC * back else "warn"
                    why = f"{ASYMMETRIC:.0%} of the {back:.2f} GB/s in the other direction"
                    yield _finding(evidence, "asymmetric", severity, matrix, (i, j), ASYMMETRIC * back, why)


def _slow_machine(evidence: Evidence) -> Iterator[Reason]:
    """Find a machine whose pairs are all alike, and all slower than such pairs usually are: one finding for each kind of path."""
    for link, pairs in evidence.groups.items():
        values = evidence.measured(p2p.UNIDIRECTIONAL_ON, pairs)
        names = {evidence.report.devices[i].name for pair in pairs for i in pair if i < len(evidence.report.devices)}
        model = names.pop() if len(names) == 1 else ""
        known = least(model, link) if values else None
        if known is None:
            continue
        middle = statistics.median(values.values())
        alike = min(values.values()) >= SLOW * max(values.values())
        if alike and _floor(link) <= middle < known[0]:
            what = (
                f"all {len(values)} pairs by {link}: {_WORDS[p2p.UNIDIRECTIONAL_ON]} is {middle:.2f} GB/s in the middle"
            )
            message = f"{what}, usually at least {known[0]:.2f} ({known[1]} of {model})"
            yield Reason("slow_machine", "warn", message, None, p2p.UNIDIRECTIONAL_ON, middle, round(known[0], 2))


def _redirected(evidence: Evidence) -> Iterator[Reason]:
    """Find peer access slower than a copy through the host: ACS or the IOMMU sends it through the root complex."""
    for pairs in evidence.groups.values():
        for pair, value in evidence.measured(p2p.UNIDIRECTIONAL_ON, pairs).items():
            through_host = evidence.value(p2p.UNIDIRECTIONAL_OFF, *pair)
            if through_host is not None and value < REDIRECTED * through_host:
                why = f"{REDIRECTED:.0%} of the {through_host:.2f} GB/s without peer access; look at ACS and the IOMMU"
                expected = REDIRECTED * through_host
                yield _finding(evidence, "redirected", "warn", p2p.UNIDIRECTIONAL_ON, pair, expected, why)


def _latency(evidence: Evidence) -> Iterator[Reason]:
    for pairs in evidence.groups.values():
        values = evidence.measured(p2p.GPU_LATENCY_ON, pairs)
        if len(values) < 3:
            continue
        expected = statistics.median(values.values())
        limit = max(SLOW_LATENCY * expected, expected + SLOW_LATENCY_US)
        for pair, value in values.items():
            if value > limit:
                why = f"equally connected pairs take {expected:.2f} us"
                yield _finding(evidence, "slow_latency", "warn", p2p.GPU_LATENCY_ON, pair, limit, why)


def _memory(evidence: Evidence) -> Iterator[Reason]:
    """Find a GPU whose own memory is slower than that of its equals."""
    by_name: dict[str, dict[int, float]] = {}
    for device in evidence.report.devices:
        value = evidence.value(p2p.UNIDIRECTIONAL_OFF, device.index, device.index)
        if value is not None:
            by_name.setdefault(device.name, {})[device.index] = value
    for name, values in by_name.items():
        expected = SLOW * statistics.median_high(values.values())
        for gpu, value in values.items():
            if len(values) > 2 and value < expected:
                message = (
                    f"GPU {gpu}: copies within its own memory reach {value:.2f} GB/s, expected at least {expected:.2f} "
                    f"({SLOW:.0%} of what the other {name} reach)"
                )
                pair = (gpu, gpu)
                yield Reason("slow_memory", "warn", message, pair, p2p.UNIDIRECTIONAL_OFF, value, round(expected, 2))


RULES: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (
    _run,
    _peer_access,
    _thresholds,
    _nvlink_floor,
    _slow_pairs,
    _slow_machine,
    _asymmetric,
    _redirected,
    _latency,
    _memory,
)
