"""Folds, and choices among cases, by what metadata.tsv says of them."""

from __future__ import annotations

import json
import shutil

from spoiling import Entry, Place, Spoil, nothing

SPLITS = "{home}/preprocessed/Task001_Balls/splits_final.json"
MAKE = "autoseg_make_splits -t 1"
SITES = ("unf", "unf", "mni", "mni", "kcl")


def known(*, header: str = "case\tsite\tpatient\tage", lines: tuple[str, ...] | None = None) -> Spoil:
    """A sound metadata.tsv, and no folds yet."""
    sound = tuple(f"case_{number:03d}\t{site}\tp{number}\t{20 + number}" for number, site in enumerate(SITES))

    def spoil(place: Place) -> None:
        place.splits.unlink()
        (place.raw / "metadata.tsv").write_text("\n".join([header, *(lines or sound), ""]))

    return spoil


def reused(content: object) -> Spoil:
    def spoil(place: Place) -> None:
        known()(place)
        text = content if isinstance(content, str) else json.dumps(content)
        (place.outer / "other.json").write_text(text)

    return spoil


def asked(name: str, options: str, message: str, spoil: Spoil | None = None, code: int = 1) -> Entry:
    return Entry(name=name, spoil=spoil or known(), words=f"{MAKE} {options}", message=message, code=code)


REUSE = "--reuse {outer}/other.json"

ENTRIES: tuple[Entry, ...] = (
    asked(
        "folds balanced by a column that is not there",
        "--balance sight",
        "sight: in no case anything stands in such a column; did you mean site?; the columns are site, patient, age",
    ),
    asked(
        "folds grouped by a column that is not there",
        "--group_by subject",
        "subject: in no case anything stands in such a column; the columns are site, patient, age",
    ),
    asked(
        "folds grouped by too few groups",
        "--group_by site",
        "3 sites are too few for 5 folds; train fold `all`, or write splits_final.json yourself",
    ),
    asked(
        "a group that is not given for every case",
        "--group_by patient --folds 2",
        "no patient is given for case_001, case_002, case_003, case_004; add them",
        known(lines=("case_000\tunf\tp0\t30", "case_001\tunf\tn/a\t30")),
    ),
    asked("one fold", "--folds 1", "folds: at least 2, found 1; --fractions makes one"),
    asked("folds and fractions", "--folds 2 --fractions 0.5 0.5", "give --folds or --fractions, not both"),
    asked(
        "fractions of more than everything",
        "--fractions 0.6 0.2 0.3",
        "fractions: they sum to 1, found 0.6 0.2 0.3, 1.1 together",
    ),
    asked(
        "fractions in per cent",
        "--fractions 60 20 20",
        "error: argument --fractions: expected a number above 0 and at most 1, found '60'",
        code=2,
    ),
    asked(
        "a single fraction",
        "--fractions 1",
        "fractions: two or three numbers from 0 to 1, for training, validation and test, found 1",
    ),
    asked(
        "nothing that validates",
        "--fractions 0.8 0 0.2",
        "fractions: some cases have to train and some to validate, found 0.8 0 0.2",
    ),
    asked(
        "what is tested on given twice",
        "--fractions 0.6 0.2 0.2 --test_on site=kcl",
        "fractions: what is tested on is given by --test_on already; give two numbers, found 0.6 0.2 0.2",
    ),
    asked(
        "a site that nobody is from",
        "--test_on site=stanford",
        "site=stanford: is so of no case of 5: site is kcl, mni, unf; correct the condition",
    ),
    asked("everything held out", "--test_on age>1", "age>1: is so of every case, and nothing is left to train on"),
    asked(
        "a held-out case whose group trains",
        "--test_on age=20 --group_by site",
        "age=20: is so of some cases of unf and not of others, and those of one site stay together; change the condition, or what stays together",
    ),
    asked(
        "a condition that is none",
        "--where unf",
        "'unf': is no condition; expected, for example, site=unf, or contrast in T1w,T2w and age < 60",
    ),
    asked(
        "a condition on a number that is none",
        "--where age<young",
        "'age<young': 'young' is no number, which < compares with; expected, for example, site=unf, or contrast in T1w,T2w and age < 60",
    ),
    asked(
        "a condition without metadata",
        "--where site=unf",
        "site: in no case anything stands in such a column; there is no metadata.tsv that says anything",
        lambda place: place.splits.unlink(),
    ),
    asked(
        "folds that are not there",
        REUSE,
        "{outer}/other.json: cannot be read: No such file or directory; name a file in JSON such as splits_final.json",
    ),
    asked(
        "folds that are no JSON",
        REUSE,
        "{outer}/other.json: not valid JSON: Expecting value: line 1 column 1 (char 0); name a file in JSON such as splits_final.json",
        reused("train: a"),
    ),
    asked("a file without folds", REUSE, "{outer}/other.json: holds no fold", reused([])),
    asked(
        "folds without validation cases",
        REUSE,
        '{outer}/other.json: fold 0: expected an object such as {"train": ["a"], "val": ["b"]}; correct the file',
        reused({"train": ["case_000"]}),
    ),
    asked(
        "folds of other cases",
        REUSE,
        "fold 0: train names no case that is here, nor any patient: sub-01, sub-02",
        reused([{"train": ["sub-01", "sub-02"], "val": ["case_000"]}]),
    ),
    asked(
        "folds by patients that overlap",
        REUSE,
        "fold 0: in training and validation at once: case_000",
        reused([{"train": ["p0", "p1"], "val": ["case_000.nii.gz"]}]),
    ),
    asked(
        "other folds than there are",
        "--folds 2",
        f"{SPLITS}: 5 folds other than what is asked for; to have them replaced add --overwrite_existing, and every fold has to be trained anew",
        nothing,
    ),
    Entry(
        name="a slip in the column of the fixed split",
        spoil=known(header="case\tsplit\tage", lines=("case_000\ttrain\t1", "case_001\tvalid\t1")),
        words="autoseg_train 2d Trainer 1 0 -device cpu",
        message="metadata.tsv: column split holds valid beside train or val or test or aug; write one of these, or call the column otherwise",
    ),
    Entry(
        name="a damaged record of folds",
        spoil=lambda place: place.splits.with_name("splits_rule.json").write_text("{"),
        words="autoseg_train 2d Trainer 1 1 -device cpu",
        message="{home}/preprocessed/Task001_Balls/splits_rule.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); delete the file, and the folds are taken for your own",
    ),
    Entry(
        name="a weight that is none",
        spoil=known(
            header="case\tweight", lines=tuple(f"case_{number:03d}\t{'heavy' if number else 1}" for number in range(5))
        ),
        words="autoseg_train 2d Trainer 1 1 -device cpu",
        message="metadata.tsv: weight of case case_001: expected a number above 0, found heavy; correct it, or call the column otherwise if it says something else",
        writes=("home/preprocessed/Task001_Balls/splits_final.json",),
    ),
    Entry(
        name="a recipe that balances by a column that is not there",
        spoil=lambda place: [known()(place), (place.outer / "alike.json").write_text('{"balance": "sight"}')],
        words="autoseg_train 2d alike.json 1 1 -device cpu",
        message="balance: of no case that trains anything is known in a column 'sight'; the columns are age, patient, site, and 'labels' balances by what cases hold",
        writes=("home/preprocessed/Task001_Balls/splits_final.json",),
    ),
    Entry(
        name="scores by a column that is not there",
        spoil=lambda place: [known()(place), shutil.copytree(place.raw / "labelsTr", place.outer / "predictions")],
        words="autoseg_evaluate_folder -t 1 -pred {outer}/predictions --by sites",
        message="sites: in no case anything stands in such a column; did you mean site?; the columns are site, patient, age",
    ),
)
