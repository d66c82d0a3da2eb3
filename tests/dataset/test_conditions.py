from __future__ import annotations

import pytest

from autoseg.dataset.conditions import parse_condition
from autoseg.dataset.facts import Facts
from autoseg.errors import DatasetError

FACTS = {
    "a": Facts(known=(("site", "unf"), ("age", "30"))),
    "b": Facts(known=(("site", "mni"), ("age", "61.5"))),
    "c": Facts(known=(("site", "Toronto General"),)),
    "d": Facts(),
}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("site=unf", "a"),
        ("site = Toronto General", "c"),
        ("site in unf, mni", "ab"),
        ("site not in unf,mni", "c"),
        ("site != unf", "bc"),
        ("age < 61.5", "a"),
        ("age <= 61.5", "ab"),
        ("age >30 and site in mni,unf", "b"),
        ("case in a,d", "ad"),
    ],
)
def test_a_condition_chooses_cases_of_which_it_is_known_to_be_so(text: str, chosen: str) -> None:
    assert parse_condition(text).chosen(FACTS) == tuple(chosen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unf", "'unf': is no condition; expected, for example, site=unf"),
        ("site==unf", "is no condition"),
        ("age < young", "'young' is no number, which < compares with"),
        ("site in unf,,mni", "names a value of no letters"),
        (
            "sites = unf",
            "sites: in no case anything stands in such a column; did you mean site?; the columns are site, age",
        ),
        ("site = kcl", "site = kcl: is so of no case of 4: site is Toronto General, mni, unf; correct the condition"),
    ],
)
def test_what_chooses_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(DatasetError) as refused:
        parse_condition(text).chosen(FACTS)
    assert message in str(refused.value)
