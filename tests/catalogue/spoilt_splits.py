"""Folds and patients."""

from __future__ import annotations

import json

from spoiling import Entry, Place, Spoil, edit

TRAIN = "autoseg_train 2d Trainer 1 1 -device cpu"
SOUND = {"train": ["case_000", "case_001", "case_002", "case_003"], "val": ["case_004"]}
PATIENTS = {f"case_{number:03d}": f"patient {number}" for number in range(5)}


def split(name: str, content: object, message: str, words: str = TRAIN) -> Entry:
    """An entry whose splits_final.json is text as given, or JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return Entry(name=name, spoil=lambda place: place.splits.write_text(text), words=words, message=message)


def patients(name: str, content: object, message: str, words: str = TRAIN) -> Entry:
    text = content if isinstance(content, str) else json.dumps(content)

    def spoil(place: Place) -> None:
        place.splits.unlink()
        (place.raw / "patients.json").write_text(text)

    return Entry(name=name, spoil=spoil, words=words, message=message)


def fewer_cases(number: int) -> Spoil:
    def spoil(place: Place) -> None:
        place.splits.unlink()
        edit(place.raw / "dataset.json", lambda content: content.update(training=content["training"][:number]))

    return spoil


ENTRIES: tuple[Entry, ...] = (
    split(
        "splits cut short",
        '[{"train": ["case_0',
        message="{home}/preprocessed/Task001_Balls/splits_final.json: not valid JSON: Unterminated string starting at: line 1 column 13 (char 12); correct the file, or delete it to have folds made",
    ),
    split(
        "splits empty",
        [],
        message='{home}/preprocessed/Task001_Balls/splits_final.json: expected a list of objects such as {"train": ["a"], "val": ["b"]}; correct the file, or delete it to have folds made',
    ),
    split(
        "splits as an object",
        {"train": [], "val": []},
        message='{home}/preprocessed/Task001_Balls/splits_final.json: expected a list of objects such as {"train": ["a"], "val": ["b"]}; correct the file, or delete it to have folds made',
    ),
    split(
        "splits of numbers",
        [{"train": [0, 1], "val": [2]}],
        message='{home}/preprocessed/Task001_Balls/splits_final.json: fold 0: expected an object such as {"train": ["a"], "val": ["b"]}; correct the file, or delete it to have folds made',
    ),
    split(
        "splits without validation",
        [SOUND, {"train": SOUND["train"]}],
        message='{home}/preprocessed/Task001_Balls/splits_final.json: fold 1: expected an object such as {"train": ["a"], "val": ["b"]}; correct the file, or delete it to have folds made',
    ),
    split(
        "splits with an empty fold",
        [SOUND, {"train": SOUND["train"], "val": []}],
        message="{home}/preprocessed/Task001_Balls/splits_final.json: fold 1: val is empty; every fold needs training and validation cases",
    ),
    split(
        "splits with nothing to train on",
        [SOUND, {"train": [], "val": ["case_004"]}],
        message="{home}/preprocessed/Task001_Balls/splits_final.json: fold 1: train is empty; every fold needs training and validation cases",
    ),
    split(
        "a case in training and validation",
        [{"train": [*SOUND["train"], "case_004"], "val": ["case_004"]}],
        message="{home}/preprocessed/Task001_Balls/splits_final.json: fold 0: in training and validation at once: case_004; keep each in one",
    ),
    split(
        "a case that nobody knows in the splits",
        [{"train": [*SOUND["train"], "case_009"], "val": ["case_004"]}],
        message="{home}/preprocessed/Task001_Balls/splits_final.json: fold 0: train names cases that are not prepared: case_009; correct the file, delete it to have folds made, or run autoseg_plan_and_preprocess",
    ),
    split(
        "a case twice in a fold",
        [{"train": [*SOUND["train"], "case_000"], "val": ["case_004"]}] * 2,
        message="{home}/preprocessed/Task001_Balls/splits_final.json: fold 0: train names cases more than once: case_000; name each once",
    ),
    split(
        "a key twice in the splits",
        '[{"train": ["case_000"], "train": ["case_001"], "val": ["case_002"]}]',
        message="{home}/preprocessed/Task001_Balls/splits_final.json: not valid JSON: the key 'train' stands twice in one object; correct the file, or delete it to have folds made",
    ),
    split(
        "a fold that the splits do not have",
        [SOUND, SOUND],
        words="autoseg_train 2d Trainer 1 7 -device cpu",
        message="fold 7: {home}/preprocessed/Task001_Balls/splits_final.json holds the folds 0, 1; use one of them, or all",
    ),
    split(
        "splits nested too deep",
        "[" * 5000,
        message="{home}/preprocessed/Task001_Balls/splits_final.json: nested deeper than 64 levels; correct the file, or delete it to have folds made",
    ),
    Entry(
        name="splits that are a folder",
        spoil=lambda place: (place.splits.unlink(), place.splits.mkdir()),
        words=TRAIN,
        message="{home}/preprocessed/Task001_Balls/splits_final.json: cannot be written: Is a directory; a folder has this name; name a file, or move the folder away",
    ),
    patients(
        "patients that are a list",
        ["patient"],
        message='{home}/raw_data/Task001_Balls/patients.json: expected an object such as {"case_001": "patient_a"}; correct the file',
    ),
    patients(
        "patients that are numbers",
        dict.fromkeys(PATIENTS, 3),
        message='{home}/raw_data/Task001_Balls/patients.json: expected an object such as {"case_001": "patient_a"}; correct the file',
    ),
    patients(
        "patients of whom one is missing",
        {name: PATIENTS[name] for name in list(PATIENTS)[1:]},
        message="{home}/raw_data/Task001_Balls/patients.json: no patient is given for case_000; add them",
    ),
    patients(
        "patients too few for five folds",
        dict.fromkeys(PATIENTS, "the same"),
        message='{home}/preprocessed/Task001_Balls/splits_final.json: 1 patient is too few for 5 folds; train fold `all`, or write splits_final.json yourself, one entry {"train": [...], "val": [...]} for each fold',
    ),
    patients(
        "patients cut short",
        '{"case_000": "pat',
        message="{home}/raw_data/Task001_Balls/patients.json: not valid JSON: Unterminated string starting at: line 1 column 14 (char 13); correct the file",
    ),
    Entry(
        name="four cases for five folds",
        spoil=fewer_cases(4),
        words=TRAIN,
        message='{home}/preprocessed/Task001_Balls/splits_final.json: 4 cases are too few for 5 folds; train fold `all`, or write splits_final.json yourself, one entry {"train": [...], "val": [...]} for each fold',
    ),
    Entry(
        name="folds made anew since a fold was trained",
        spoil=lambda place: place.splits.write_text(
            json.dumps([{**SOUND, "train": ["case_004"], "val": SOUND["train"]}])
        ),
        words="autoseg_train 2d Trainer 1 0 -val -device cpu",
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0: was trained on {some}, which splits_final.json now has among its validation cases, so its scores would be too good; train it anew with --overwrite, or put the file back that it was trained by",
    ),
    Entry(
        name="a pattern that finds no patient",
        words="autoseg_verify_dataset -t 1 --patients case_00[01]",
        message="the pattern 'case_00[01]' finds no patient in 3 names of 5: case_002, case_003, case_004; extend it, every case needs one",
    ),
    Entry(
        name="a pattern that is none",
        words="autoseg_verify_dataset -t 1 --patients (",
        message="error: argument --patients: '(' is no regular expression: missing ), unterminated subpattern at position 0",
        code=2,
    ),
    Entry(
        name="patients who are there already",
        spoil=lambda place: (place.raw / "patients.json").write_text(json.dumps(PATIENTS)),
        words="autoseg_plan_and_preprocess -t 1 -tf 1 --patients case_(00)",
        message="{home}/raw_data/Task001_Balls/patients.json: is there already and says otherwise of case_000, case_001, case_002, case_003, case_004; it is not overwritten, move it away to have it written anew, or leave --patients out",
    ),
    Entry(
        name="three cases for a whole run",
        spoil=fewer_cases(3),
        words="autoseg_run -t 1",
        message='Task001_Balls: 3 cases are too few for 5 folds; train fold `all`, or write splits_final.json yourself, one entry {"train": [...], "val": [...]} for each fold',
    ),
)
