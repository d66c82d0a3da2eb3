"""What is known of cases beside their images: metadata.tsv, alone and beside patients.json."""

from __future__ import annotations

import json

from spoiling import Entry, Place, verified

FILE = "{home}/raw_data/Task001_Balls/metadata.tsv"
PLAN = "autoseg_plan_and_preprocess -t 1 -no_pp"
TRAIN = "autoseg_train 2d Trainer 1 1 -device cpu"
LINES = "".join(f"case_{number:03d}\tunf\n" for number in range(5)) + "test_005\tmni\n"


def table(name: str, text: str | bytes, message: str, words: str = PLAN, patients: object = None) -> Entry:
    """An entry whose metadata.tsv is as given."""

    def spoil(place: Place) -> None:
        (place.raw / "metadata.tsv").write_bytes(text.encode() if isinstance(text, str) else text)
        if patients is not None:
            (place.raw / "patients.json").write_text(json.dumps(patients))

    return Entry(name=name, spoil=spoil, words=words, message=message)


ENTRIES: tuple[Entry, ...] = (
    table(
        "a table of nothing",
        "",
        f"{FILE}: is empty; write a line with the names of the columns and a line for each case",
    ),
    table(
        "a table with commas",
        "case,site\ncase_000,unf\n",
        f"{FILE}: line 1: names a single column, 'case,site'; separate the columns by tabs, the first one names the case",
    ),
    table(
        "a table in UTF-16",
        f"case\tsite\n{LINES}".encode("utf-16"),
        f"{FILE}: line 1: byte 0 of the file is no text in UTF-8; save the table as UTF-8",
        words=TRAIN,
    ),
    table(
        "a table with a column named twice",
        f"case\tsite\tsite\n{LINES}",
        f"{FILE}: line 1: names more than one column site; name each column differently",
    ),
    table(
        "a table with a column without a name",
        f"case\t\n{LINES}",
        f"{FILE}: line 1: column 2 has no name; give it one, or take the column out",
    ),
    table(
        "a table with a case that nobody knows",
        f"case\tsite\n{LINES}case_009\tunf\n",
        f"{FILE}: names 1 case that the dataset does not have: case_009 (line 8); correct the name, or take the line out",
        words=TRAIN,
    ),
    table(
        "a table with a case twice",
        f"case\tsite\n{LINES}case_001\tunf\n",
        f"{FILE}: line 8: case case_001 stands in line 3 already; keep one of the two",
        words="autoseg_plot_task -t 1 -o {outer}/pictures",
    ),
    table(
        "a table with a line too short",
        f"case\tsite\n{LINES}case_001\n",
        f"{FILE}: line 8: 1 cell, where 2 columns are named; write every cell, n/a where nothing is known",
    ),
    table(
        "a table with a line too long",
        f"case\tsite\ncase_000\tunf\t7\n{LINES}",
        f"{FILE}: line 2: 3 cells, where 2 columns are named; take out what is too much, or name its column",
    ),
    table(
        "a table with a blank behind a case",
        f"case\tsite\ncase_000 \tunf\n{LINES}",
        f"{FILE}: line 2: the cell 'case_000 ' in column case begins or ends with a blank; take it out",
    ),
    table(
        "a table with quotation marks",
        "case\tsite\n" + LINES.replace("mni", '"mni, Montreal"'),
        f"{FILE}: line 7: the cell '\"mni, Montreal\"' in column site stands in quotation marks, which this kind of table does "
        "not have; take them out",
    ),
    table(
        "a table that contradicts the patients",
        f"case\tpatient\n{LINES}",
        "{home}/raw_data/Task001_Balls/patients.json: case_001 is of patient ann, but of unf in metadata.tsv, line 3; correct one "
        "of the two, or take patients.json away",
        words=TRAIN,
        patients={"case_000": "unf", "case_001": "ann"},
    ),
    table(
        "patients from names where a table has others",
        f"case\tpatient\n{LINES}",
        f"{FILE}: is there already and says otherwise of case_000, case_001, case_002, case_003, case_004; it is not overwritten, "
        "move it away to have it written anew, or leave --patients out",
        words="autoseg_verify_dataset -t 1 --workers 1 --patients [0-9]$",
    ),
    verified(
        "a table at fault, verified",
        lambda place: (place.raw / "metadata.tsv").write_text(f"case\tsite\n{LINES}\tunf\n"),
        "metadata.tsv: line 8: names no case; write its name into the first column",
    ),
)
