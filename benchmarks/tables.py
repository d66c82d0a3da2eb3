"""The tables of a benchmark's results, printed or written into documentation/performance.md, the one page that has them.

    python benchmarks/tables.py benchmark_work/results.json [--profile benchmark_work/profile.json] [--write]

The page holds each table between `<!-- measured: NAME -->` and `<!-- end of NAME -->`; nothing else of it changes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import median

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "documentation" / "performance.md"
NO_RESULT = "no result"
REST = "everything else"
LEAST_SHARE = 0.02
"""A part that takes less of its stage's seconds is counted with everything else."""
BARE = "bare python"
Content = Mapping[str, Any]


def comparison_table(content: Content) -> str:
    """One row for each contest: both sides' medians, ratio, memory, distance from the machine's ceiling."""
    head = (
        "stage",
        "work",
        "nnU-Net v2",
        "autoseg",
        "times faster (range)",
        "memory, nnU-Net",
        "memory",
        "of the ceiling",
    )
    return as_table([head, *(_row(contest) for contest in content["contests"] if not _is_folds(contest))])


def folds_table(content: Content) -> str:
    """What more folds cost: the networks' time and everything else."""
    runs = {contest["stage"]: contest["rounds"] for contest in content["contests"] if _is_folds(contest)}
    if len(runs) != 2 or not all(runs.values()):
        return f"Five folds against one: {NO_RESULT}." if runs else ""
    one, five = runs.values()
    rows = [("prediction", "1 fold", "5 folds", "ratio")]
    for part in ("network_seconds", "other_seconds", "seconds"):
        values = [median([_value(side["autoseg"], part) for side in rounds]) for rounds in (one, five)]
        name = {"network_seconds": "in the networks", "other_seconds": "everything else", "seconds": "in all"}[part]
        rows.append((name, *(_seconds(value) for value in values), f"{values[1] / values[0]:.2f}"))
    return as_table(rows)


def notes(content: Content) -> str:
    """Machine, agreement of the results, and what failed."""
    machine = content["machine"]
    lines = [
        f"Measured on {content['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{_bytes(machine['memory_bytes'])}, python {machine['python']}, torch {machine['torch']}. At most it copies "
        f"{machine['copy_all'] / 1e9:.1f} GB and does {machine['fp32_all'] / 1e9:.0f} billion operations in fp32, "
        f"{machine['bf16_all'] / 1e9:.0f} in bf16, a second."
    ]
    if content.get("quick"):
        lines.append("From --quick: the sizes are tiny and these numbers mean nothing.")
    for contest in content["contests"]:
        lines += [f"{contest['stage']}: {text}" for text in _said(contest)]
    return "\n".join(f"- {line}" for line in lines)


Profile = Mapping[str, Mapping[str, float]]


def profile_table(profile: Profile, before: Profile | None = None) -> str:
    """Where the time goes, in percent of each stage's seconds; beside it, where it went in an earlier version."""
    rows = [("stage", "part", "seconds", "share", "seconds before")]
    for stage, parts in profile.items():
        whole = sum(parts.values())
        large = {part for part, seconds in parts.items() if seconds >= LEAST_SHARE * whole}
        earlier = _with_rest((before or {}).get(stage, {}), large)
        for part, seconds in sorted(_with_rest(parts, large).items(), key=lambda entry: -entry[1]):
            then = f"{earlier[part]:.2f}" if part in earlier else ""
            rows.append((stage, part, f"{seconds:.2f}", f"{100 * seconds / whole:.1f} %", then))
        rows.append((stage, "all of it", f"{whole:.2f}", "100 %", f"{sum(earlier.values()):.2f}"))
    return as_table(rows if before else [row[:-1] for row in rows])


def _with_rest(parts: Mapping[str, float], large: Collection[str]) -> dict[str, float]:
    """The large parts, and all others together as the rest."""
    kept = {part: seconds for part, seconds in parts.items() if part in large and part != REST}
    rest = [seconds for part, seconds in parts.items() if part not in kept]
    return kept | ({REST: sum(rest)} if rest else {})


def ratios(contest: Content) -> list[float]:
    """How many times longer the peer took, for each round in which both sides did the work."""
    return [
        pair["peer"]["seconds"] / pair["autoseg"]["seconds"]
        for pair in contest["rounds"]
        if {"peer", "autoseg"} <= set(pair)
    ]


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """A page with its blocks replaced; a block that the page does not have is left out."""
    for name, block in blocks.items():
        pattern = rf"(<!-- measured: {name} -->\n).*?(\n<!-- end of {name} -->)"
        text = re.sub(pattern, lambda match, block=block: match[1] + block + match[2], text, flags=re.DOTALL)
    return text


# ------------------------------------------------------------------------------------------- rows


def _row(contest: Content) -> tuple[str, ...]:
    rounds = contest["rounds"]
    if not rounds:
        return (contest["stage"], contest["work"], *[NO_RESULT] * 3, "", "", "")
    peers = [pair["peer"] for pair in rounds if "peer" in pair]
    ours = [pair["autoseg"] for pair in rounds]
    found = ratios(contest)
    missing = "not run" if contest["alone"] else "fails"
    return (
        contest["stage"],
        contest["work"],
        _time(peers, contest["unit"]) if peers else missing,
        _time(ours, contest["unit"]),
        f"{median(found):.1f} ({min(found):.1f} to {max(found):.1f})" if found else "",
        _bytes(median([side["peak_bytes"] for side in peers])) if peers else "",
        _bytes(median([side["peak_bytes"] for side in ours])),
        _of_ceiling(contest["ceiling"], median([side["seconds"] for side in ours])),
    )


def _of_ceiling(ceiling: Mapping[str, Any] | None, seconds: float) -> str:
    if ceiling is None:
        return ""
    if ceiling["bound"] == BARE:
        return f"{seconds - ceiling['seconds']:.2f} s over {BARE}"
    return f"{100 * ceiling['seconds'] / seconds:.2g} % ({ceiling['bound']})"


def _time(sides: Sequence[Mapping[str, Any]], unit: str) -> str:
    return _seconds(median([side["seconds"] for side in sides])) + unit.removeprefix("s")


def _seconds(value: float) -> str:
    if value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.0f} s" if value >= 100 else f"{value:.3g} s"


def _bytes(value: float) -> str:
    return f"{value / 2**30:.1f} GB" if value >= 2**30 else f"{value / 2**20:.0f} MB"


def _value(side: Mapping[str, Any], name: str) -> float:
    return float(side["seconds"] if name == "seconds" else side["said"][name])


def _is_folds(contest: Content) -> bool:
    return bool(contest["stage"].startswith("folds"))


UNITS = {
    "largest_difference_of_range": "largest difference {:.2g} of the range",
    "share_of_labels_differing": "{:.2g} of the labels differ",
    "volumes_beyond": "memory beyond input and output {:.2g} volumes of the larger",
    "share_of_scores_beyond": "memory beyond the given scores {:.2g} of them",
}


def _said(contest: Content) -> list[str]:
    """What a contest's runs reported beside their time, the worst of its rounds, and its failures."""
    lines = []
    for name, sentence in UNITS.items():
        for side in ("agreement", "autoseg", "peer"):
            said = [
                pair[side] if side == "agreement" else pair[side]["said"] for pair in contest["rounds"] if side in pair
            ]
            if values := [entry[name] for entry in said if name in entry]:
                lines.append(sentence.format(max(values)) + ("" if side == "agreement" else f" ({side})"))
    lines += [f"the peer fails: {pair['peer_failed']}" for pair in contest["rounds"] if "peer_failed" in pair]
    return lines + [f"a round is no result: {failure}" for failure in contest["failures"]]


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("results", type=Path)
    made.add_argument("--profile", type=Path, help="what where_time_goes.py wrote")
    made.add_argument("--before", type=Path, help="the same of an earlier version, to stand beside it")
    made.add_argument("--write", action="store_true", help="fill the tables of documentation/performance.md")
    arguments = made.parse_args()
    content = json.loads(arguments.results.read_text())
    blocks = {"comparison": comparison_table(content), "folds": folds_table(content), "notes": notes(content)}
    if arguments.profile:
        before = json.loads(arguments.before.read_text()) if arguments.before else None
        blocks["profile"] = profile_table(json.loads(arguments.profile.read_text()), before)
    print("\n\n".join(blocks.values()))
    if arguments.write and content["quick"]:
        print("tables: these results are from --quick and are not written", file=sys.stderr)
        return 1
    if arguments.write:
        PAGE.write_text(fill(PAGE.read_text(), blocks))
        print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
