from __future__ import annotations

from collections.abc import Sequence

from autoseg.diagnosis.page import Diagnosis, examine, page
from autoseg.errors import DatasetError


def fine() -> Sequence[Diagnosis]:
    return [Diagnosis(level="ok", subject="cores", found="2 cores")]


def odd() -> Sequence[Diagnosis]:
    return [Diagnosis(level="warning", subject="memory", found="1 GB free", remedy="ask for more")]


def known() -> Sequence[Diagnosis]:
    raise DatasetError("a.nii: is truncated; copy it again")


def missing() -> Sequence[Diagnosis]:
    import autoseg.no_such_part  # type: ignore[import-not-found]  # noqa: F401

    return []


def unknown() -> Sequence[Diagnosis]:
    raise KeyError("lost")


def test_the_page_lists_what_was_found_with_what_to_do_below_it() -> None:
    assert page(examine({"machine": lambda: [*fine(), *odd()], "more": fine})) == (
        "machine\n"
        "  ok       cores   2 cores\n"
        "  warning  memory  1 GB free\n"
        "                   -> ask for more\n"
        "\n"
        "more\n"
        "  ok       cores   2 cores"
    )


def test_a_check_that_fails_is_a_fault_and_the_others_are_made() -> None:
    found = examine({"images": known, "packages": missing, "device": unknown, "machine": fine})

    assert [
        (diagnosis.level, diagnosis.subject, diagnosis.found) for diagnosis in (one for (one,) in found.values())
    ] == [
        ("fault", "images", "a.nii: is truncated; copy it again"),
        ("fault", "packages", "No module named 'autoseg.no_such_part'"),
        ("fault", "device", "KeyError: 'lost'"),
        ("ok", "cores", "2 cores"),
    ]
    assert found["images"][0].remedy == "see what this names; with a damaged installation, install again"
    assert found["device"][0].remedy == "this check should not end so; please report it"
