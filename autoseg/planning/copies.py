"""The same image under two names, also where it was stored in another type or scaled: a score on one tells nothing of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from autoseg.arrays import Float32Array
from autoseg.planning.inspection import Finding, Inspection, Severity
from autoseg.words import readable

SAME = 1 - 1e-4
"""Correlation of two copies, one of them in 8 bits: rounding leaves 2e-5 of the variance of a range of five deviations."""


def find_copies(training: Sequence[Inspection], test: Sequence[Inspection]) -> list[Finding]:
    """Cases with the images of a training case: the very same values, or the same ones scaled."""
    findings = []
    first: dict[str, Inspection] = {}
    for one in training:
        original = first.setdefault(one.content, one) if one.content else one
        if original is one:
            continue
        same_label = one.label_content is not None and one.label_content == original.label_content
        text = f"has the same images{' and label' * same_label} as case {readable(original.case.identifier)}; " + (
            "leave one of them out" if same_label else "keep both in one fold (patients.json), or leave one out"
        )
        severity: Severity = "error" if same_label else "warning"
        findings.append(Finding(severity=severity, where=f"case {one.case.identifier}", text=text))
    for one in test:
        if one.content in first:
            text = f"has the same images as training case {readable(first[one.content].case.identifier)}; do not test on it"
            findings.append(Finding(severity="warning", where=f"test case {one.case.identifier}", text=text))
    return findings + _scaled_copies(training, test)


def _scaled_copies(training: Sequence[Inspection], test: Sequence[Inspection]) -> list[Finding]:
    findings = []
    tested = {one.case.identifier for one in test}
    for one, original in _alike([*training, *test]):
        if original.case.identifier in tested:
            continue
        is_test = one.case.identifier in tested
        remedy = "do not test on it" if is_test else "keep both in one fold (patients.json), or leave one out"
        text = f"has the images of case {readable(original.case.identifier)} in other units or rounded; {remedy}"
        where = f"{'test case' if is_test else 'case'} {one.case.identifier}"
        findings.append(Finding(severity="warning", where=where, text=text))
    return findings


def _alike(inspections: Sequence[Inspection]) -> Iterator[tuple[Inspection, Inspection]]:
    """Each case whose sample is an earlier one's but for scale, with the first such; the same values are told elsewhere."""
    sizes: dict[tuple[tuple[int, ...], int], list[Inspection]] = defaultdict(list)
    for one in inspections:
        if one.sample is not None:
            sizes[one.shape, len(one.sample)].append(one)
    for group in sizes.values():
        samples: Float32Array = np.stack([one.sample for one in group if one.sample is not None])
        for number, one in enumerate(group[1:], start=1):
            earlier = np.flatnonzero(samples[:number] @ samples[number] >= SAME * len(one.ranges))
            others = [group[index] for index in earlier.tolist() if group[index].content != one.content]
            if others and len(others) == len(earlier):
                yield one, others[0]
