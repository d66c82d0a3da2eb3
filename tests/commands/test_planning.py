"""Plans from fingerprints and from edited JSON, and planning and preparing a task, as a user runs them."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest

from autoseg.commands import plan_and_preprocess, plan_from_fingerprint, plan_from_json
from autoseg.planning.fingerprint import DatasetFingerprint, save_fingerprint
from autoseg.planning.workflow import describe_false_alarms
from autoseg.plans import load_plans
from autoseg.preprocessing.store import PreparedCases


def fingerprint(*, shape: tuple[int, int, int] = (36, 50, 35), cases: int = 260) -> DatasetFingerprint:
    """260 cases of 36x50x35 voxels of 1 mm: the published plans of this dataset are known."""
    return DatasetFingerprint(
        channels=("MRI",),
        labels=("background", "Anterior", "Posterior"),
        cases=tuple(f"case_{number}" for number in range(cases)),
        spacings=((1.0, 1.0, 1.0),) * cases,
        shapes=(shape,) * cases,
        kept_fractions=(1.0,) * cases,
        intensities=(None,),
    )


def test_plans_are_made_without_an_image_one_folder_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_fingerprint(fingerprint(), tmp_path / "hippocampus.json")
    save_fingerprint(fingerprint(shape=(1, 200, 200)), tmp_path / "flat.v2.json")

    code = plan_from_fingerprint.main(
        ["-i", str(tmp_path / "hippocampus.json"), str(tmp_path / "flat.v2.json"), "-o", str(tmp_path / "out")]
    )

    assert code == 0
    full = load_plans(tmp_path / "out" / "hippocampus" / "autoseg_plans_3D.pkl").configuration("3d_fullres")
    flat = load_plans(tmp_path / "out" / "hippocampus" / "autoseg_plans_2D.pkl").configuration("2d")
    assert (full.sampling.patch_size, full.batch_size) == ((40, 56, 40), 9)
    assert (flat.sampling.patch_size, flat.batch_size) == ((56, 40), 366)
    assert sorted(path.name for path in (tmp_path / "out" / "flat.v2").iterdir()) == [
        "autoseg_plans_2D.json",
        "autoseg_plans_2D.pkl",
    ]
    told = capsys.readouterr()
    assert told.err == ""
    assert "hippocampus: plans 'autoseg' by Planner3D for 3d_fullres\n" in told.out
    assert "  3d_fullres patch: 40 x 56 x 40 voxels\n      the whole median case of 36 x 50 x 35 fits" in told.out
    assert "flat.v2: every case is a single slice, so only 2d is planned\n" in told.out


def test_a_bad_fingerprint_is_named_and_the_others_are_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_fingerprint(fingerprint(), tmp_path / "good.json")
    (tmp_path / "bad.json").write_text("{")

    code = plan_from_fingerprint.main(
        ["-i", str(tmp_path / "bad.json"), str(tmp_path / "good.json"), "-o", str(tmp_path / "out")]
    )

    assert code == 1
    assert (tmp_path / "out" / "good" / "autoseg_plans_3D.pkl").is_file()
    assert capsys.readouterr().err.startswith(
        "autoseg_plan_from_fingerprint: planning: 1 of 2 cases failed; the others are finished\n"
        f"  {tmp_path}/bad.json: {tmp_path}/bad.json: not valid JSON: "
    )


def test_two_fingerprints_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_from_fingerprint.main(["-i", "a/x.json", "b/x.json", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "autoseg_plan_from_fingerprint: x: given twice, and each file gets one folder; rename one\n"
    )


def test_planners_memory_and_name_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_fingerprint(fingerprint(), tmp_path / "f.json")
    (tmp_path / "mine.py").write_text(
        "from autoseg.planning import Planner3D\n"
        "class Fine(Planner3D):\n"
        "    def target_spacing(self):\n"
        "        'Half a millimetre everywhere.'\n"
        "        return (0.5, 0.5, 0.5)\n"
    )
    common = ["-i", str(tmp_path / "f.json"), "-o", str(tmp_path / "out")]

    assert plan_from_fingerprint.main([*common, "-pl3d", f"{tmp_path}/mine.py:Fine", "-pl2d", "None"]) == 0
    assert plan_from_fingerprint.main([*common, "-pl3d", "None", "-p", "small", "-gpu_memory_target", "0.2"]) == 0

    assert sorted(path.name for path in (tmp_path / "out" / "f").glob("*.pkl")) == [
        "Fine_plans_3D.pkl",
        "small_plans_2D.pkl",
    ]
    assert (
        load_plans(tmp_path / "out" / "f" / "Fine_plans_3D.pkl").configuration("3d_fullres").grid.spacing == (0.5,) * 3
    )
    assert load_plans(tmp_path / "out" / "f" / "small_plans_2D.pkl").configuration("2d").batch_size < 50
    assert "Half a millimetre everywhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-gpu_memory_target", "0"], "argument -gpu_memory_target: expected a number above 0, found '0'"),
        (["-gpu_memory_target", "nan"], "argument -gpu_memory_target: expected a number above 0, found 'nan'"),
        (["-pl3D", "x"], "unknown option -pl3D; did you mean -pl3d?"),
    ],
)
def test_usage_errors_of_planning(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_from_fingerprint.main(["-i", "f.json", "-o", "out", *argv]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_planner_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_fingerprint(fingerprint(), tmp_path / "f.json")

    assert plan_from_fingerprint.main(["-i", str(tmp_path / "f.json"), "-o", str(tmp_path), "-pl3d", "Best"]) == 1
    assert "0 Planner3D classes are called 'Best'; known: Planner3D" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("network = 'swin'", "3d_fullres.network.name: no network is called 'swin', known are unet, residual_unet"),
        (
            "network = 'residual_unet'",
            "3d_fullres.network.settings.blocks_per_stage: a residual_unet needs a number of blocks",
        ),
    ],
)
def test_a_planner_of_ones_own_whose_network_nobody_knows_is_refused_when_planning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, message: str
) -> None:
    save_fingerprint(fingerprint(), tmp_path / "f.json")
    (tmp_path / "mine.py").write_text(f"from autoseg.planning import Planner3D\nclass Mine(Planner3D):\n    {lines}\n")

    words = ["-i", str(tmp_path / "f.json"), "-o", str(tmp_path / "out"), "-pl3d", f"{tmp_path}/mine.py:Mine"]
    assert plan_from_fingerprint.main([*words, "-pl2d", "None"]) == 1
    assert f"f: planned by Mine: {message}" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.pkl"))


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """The folder with the plans of one fingerprint."""
    save_fingerprint(fingerprint(), tmp_path / "f.json")
    plan_from_fingerprint.main(["-i", str(tmp_path / "f.json"), "-o", str(tmp_path)])
    return tmp_path / "f"


def edit(path: Path, *, batch_size: int | str) -> None:
    content = json.loads(path.read_text())
    content["configurations"]["3d_fullres"]["batch_size"] = batch_size
    path.write_text(json.dumps(content))


def test_an_edited_view_becomes_the_plans(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(planned / "autoseg_plans_3D.json", batch_size=5)

    assert plan_from_json.main([str(planned / "autoseg_plans_3D.json")]) == 0

    assert load_plans(planned / "autoseg_plans_3D.pkl").configuration("3d_fullres").batch_size == 5
    assert f"written: {planned}/autoseg_plans_3D.pkl\n" in capsys.readouterr().out


def test_a_view_that_does_not_fit_changes_nothing(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (planned / "autoseg_plans_3D.pkl").read_bytes()
    edit(planned / "autoseg_plans_3D.json", batch_size="five")

    assert plan_from_json.main([str(planned / "autoseg_plans_3D.json")]) == 1
    assert "configurations.3d_fullres.batch_size: expected int, found 'five'" in capsys.readouterr().err
    assert (planned / "autoseg_plans_3D.pkl").read_bytes() == before

    shutil.copy(planned / "autoseg_plans_2D.json", planned / "mine_plans_2D.json")
    assert plan_from_json.main([str(planned / "mine_plans_2D.json")]) == 1
    assert (
        "its name files the plans under 'mine', but its identifier is 'autoseg'; make the two equal"
        in capsys.readouterr().err
    )
    assert plan_from_json.main([str(planned / "autoseg_plans_3D.pkl")]) == 1
    assert "expected the .json view of plans" in capsys.readouterr().err


def preprocess(home: Path, *options: str) -> int:
    return plan_and_preprocess.main(["-t", "1", "--home", str(home), "-tf", "1", *options])


def test_a_task_is_measured_planned_and_prepared_and_then_left_alone(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(parent=tmp_path / "raw_data")

    assert preprocess(tmp_path) == 0

    folder = tmp_path / "preprocessed" / task.name
    plans = load_plans(folder / "autoseg_plans_3D.pkl")
    assert plans.dataset == task.name
    assert plans.configuration("3d_fullres").grid.median_shape == (12, 16, 14)
    for configuration in ("2d", "3d_fullres"):
        assert PreparedCases(folder / f"autoseg_{configuration}").identifiers() == tuple(
            f"case_{number:03d}" for number in range(5)
        )
    assert len(list((folder / "autoseg_3d_fullres").glob("*.npy"))) == 15
    assert not list((folder / "autoseg_2d").glob("*.npy"))
    assert len(list((folder / "gt_segmentations").iterdir())) == 5
    told = capsys.readouterr()
    assert f"{task.name}: 5 cases prepared, 0 skipped" in told.err
    assert f"{task.name}: done in " in told.out
    assert (
        "input guard of autoseg_predict: of 5 training cases, compared with the others in cross-validation, it would "
        "warn of 0 (0.0 %)\n"
    ) in told.out
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    assert preprocess(tmp_path) == 0

    told = capsys.readouterr()
    assert "the fingerprint is current" in told.err
    assert "0 cases prepared, 5 skipped" in told.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_fingerprint_without_what_new_images_are_compared_with_is_measured_again(tmp_path: Path, make_task) -> None:
    task = make_task(parent=tmp_path / "raw_data")
    preprocess(tmp_path, "-no_pp")
    path = tmp_path / "preprocessed" / task.name / "fingerprint.json"
    measured = path.read_bytes()
    content = json.loads(measured)
    del content["directions"], content["intensity_ranges"]
    path.write_text(json.dumps(content))

    assert preprocess(tmp_path, "-no_pp") == 0

    assert path.read_bytes() == measured


def test_cases_that_the_input_guard_would_warn_of_are_named() -> None:
    start, compared = (
        "input guard of autoseg_predict: ",
        "compared with the others in cross-validation, it would warn of",
    )
    for cases, names in (
        (15, "case_0, case_1, case_2"),
        (60, ", ".join(f"case_{n}" for n in range(10)) + " and 2 more"),
    ):
        odd = ((9.0, 1.0, 1.0),) * (cases // 5) + ((1.0, 1.0, 1.0),) * (cases - cases // 5)
        assert describe_false_alarms(dataclasses.replace(fingerprint(cases=cases), spacings=odd)) == (
            f"{start}of {cases} training cases, {compared} {cases // 5} (20.0 %): {names}"
        )
    assert describe_false_alarms(fingerprint(cases=1)) == (
        f"{start}a single case is too few to say how often it would be wrong"
    )


def test_a_changed_image_is_noticed(tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(parent=tmp_path / "raw_data")
    preprocess(tmp_path)
    capsys.readouterr()
    shutil.copy(task / "imagesTr" / "case_001_0000.nii.gz", task / "imagesTr" / "case_000_0000.nii.gz")

    assert preprocess(tmp_path, "-pl2d", "None") == 0

    told = capsys.readouterr().err
    assert "the fingerprint is current" not in told
    assert "1 case prepared, 4 skipped" in told
    assert "0 cases prepared" not in told


def test_edited_plans_are_prepared_as_they_are_with_no_planner(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(parent=tmp_path / "raw_data")
    preprocess(tmp_path, "-no_pp", "-p", "mine")
    folder = tmp_path / "preprocessed" / task.name
    assert not (folder / "mine_3d_fullres").exists()
    edit(folder / "mine_plans_3D.json", batch_size=7)
    plan_from_json.main([str(folder / "mine_plans_3D.json")])
    (folder / "mine_plans_2D.pkl").unlink()

    assert preprocess(tmp_path, "-pl3d", "None", "-pl2d", "None", "-p", "mine") == 0

    assert load_plans(folder / "mine_plans_3D.pkl").configuration("3d_fullres").batch_size == 7
    assert len(PreparedCases(folder / "mine_3d_fullres").identifiers()) == 5
    assert not (folder / "mine_2d").exists()
    capsys.readouterr()

    assert preprocess(tmp_path, "-pl3d", "None", "-pl2d", "None", "-p", "other") == 1
    assert "no plans 'other' here, and -pl3d None -pl2d None makes none" in capsys.readouterr().err


def test_replacing_other_plans_is_said(tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(parent=tmp_path / "raw_data")
    preprocess(tmp_path, "-no_pp")
    assert "replaces" not in capsys.readouterr().out
    edit(tmp_path / "preprocessed" / task.name / "autoseg_plans_3D.json", batch_size=7)
    plan_from_json.main([str(tmp_path / "preprocessed" / task.name / "autoseg_plans_3D.json")])

    preprocess(tmp_path, "-no_pp")

    assert "autoseg_plans_3D.pkl: replaces other plans that were there" in capsys.readouterr().out


def test_with_verification_a_faulty_task_stops_everything(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task("Task001_Good", parent=tmp_path / "raw_data")
    bad = make_task("Task002_Bad", parent=tmp_path / "raw_data")
    (bad / "labelsTr" / "case_000.nii.gz").unlink()

    code = plan_and_preprocess.main(["-t", "1", "2", "--home", str(tmp_path), "--verify_dataset_integrity", "-tf", "1"])

    assert code == 1
    told = capsys.readouterr()
    assert "case_000" in told.out
    assert "errors in Task002_Bad (1); put right what the report names and verify again" in told.err
    assert not (tmp_path / "preprocessed").exists()


def test_tasks_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(tmp_path) == 1
    assert "'1': no task of that name in " in capsys.readouterr().err
    assert plan_and_preprocess.main(["--home", str(tmp_path)]) == 2
    assert "one of the arguments -t -i is required" in capsys.readouterr().err


def test_a_low_resolution_stage_can_be_asked_for(tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(parent=tmp_path / "raw_data")

    assert preprocess(tmp_path, "--force_lowres", "-no_pp") == 0

    plans = load_plans(tmp_path / "preprocessed" / task.name / "autoseg_plans_3D.pkl")
    assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    low, full = (math.prod(plans.configuration(name).grid.median_shape) for name in ("3d_lowres", "3d_fullres"))
    assert 2 * low < full
    assert "  low-resolution stage: " in capsys.readouterr().out


def transfer(home: Path, *options: str) -> int:
    return plan_and_preprocess.main(["-t", "2", "--home", str(home), "-tf", "1", *options])


def test_another_tasks_plans_are_taken_and_the_cases_prepared_for_them(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task("Task001_Source", parent=tmp_path / "raw_data")
    make_task("Task002_Own", parent=tmp_path / "raw_data", cases=6, labels=("background", "a", "b"))
    preprocess(tmp_path, "-no_pp")
    capsys.readouterr()

    assert transfer(tmp_path, "--plans_from", "1") == 0

    folder = tmp_path / "preprocessed" / "Task002_Own"
    source = load_plans(tmp_path / "preprocessed" / "Task001_Source" / "autoseg_plans_3D.pkl")
    plans = load_plans(folder / "from_Task001_plans_3D.pkl")
    assert (plans.dataset, plans.identifier, plans.labels) == ("Task002_Own", "from_Task001", ("background", "a", "b"))
    assert (
        plans.configuration("3d_fullres").sampling.patch_size == source.configuration("3d_fullres").sampling.patch_size
    )
    for configuration in ("2d", "3d_fullres"):
        assert len(PreparedCases(folder / f"from_Task001_{configuration}").identifiers()) == 6
    assert "Task002_Own: plans 'from_Task001' by Planner3D for 3d_fullres\n" in capsys.readouterr().out


def test_plans_are_taken_from_an_installed_model_and_under_a_name_of_ones_own(tmp_path: Path, make_task) -> None:
    make_task("Task001_Source", parent=tmp_path / "raw_data")
    make_task("Task002_Own", parent=tmp_path / "raw_data")
    preprocess(tmp_path, "-no_pp", "-p", "theirs")
    model = tmp_path / "results" / "3d_fullres" / "Task001_Source" / "Trainer__theirs"
    model.mkdir(parents=True)
    (tmp_path / "preprocessed" / "Task001_Source" / "theirs_plans_3D.pkl").rename(model / "plans.pkl")
    (tmp_path / "preprocessed" / "Task001_Source" / "theirs_plans_2D.pkl").unlink()

    assert transfer(tmp_path, "--plans_from", "Task001:theirs", "-no_pp", "-p", "mine") == 0

    files = sorted(path.name for path in (tmp_path / "preprocessed" / "Task002_Own").glob("*.pkl"))
    assert files == ["mine_plans_3D.pkl"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plans_from", "1"], "Task001_Source: no plans 'autoseg' to take, neither in "),
        (["--plans_from", "1:other"], "plan that task, install its model, or name its plans: Task001_Source:PLANS"),
        (["--plans_from", "9"], "'9': no task of that name in "),
        (
            ["--plans_from", "1", "-pl3d", "Planner3DResidualM", "-gpu_memory_target", "11", "--force_lowres"],
            "--plans_from takes every decision from the other task; leave away -pl3d, -gpu_memory_target, "
            "--force_lowres",
        ),
    ],
)
def test_what_cannot_be_taken_is_said(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    make_task("Task001_Source", parent=tmp_path / "raw_data")
    make_task("Task002_Own", parent=tmp_path / "raw_data")

    assert transfer(tmp_path, *options) == 1
    assert message in capsys.readouterr().err


def test_the_residual_encoder_is_planned_by_name(tmp_path: Path) -> None:
    save_fingerprint(fingerprint(), tmp_path / "f.json")
    planners = ["-pl3d", "Planner3DResidualM", "-pl2d", "Planner2DResidualM"]

    assert plan_from_fingerprint.main(["-i", str(tmp_path / "f.json"), "-o", str(tmp_path), *planners]) == 0

    plans = load_plans(tmp_path / "f" / "autoseg_ResEncM_plans_3D.pkl")
    assert plans.configuration("3d_fullres").network.unet().blocks_per_stage == (1, 3, 4, 6)
    assert (
        load_plans(tmp_path / "f" / "autoseg_ResEncM_plans_2D.pkl").configuration("2d").network.name == "residual_unet"
    )


def test_single_slices_take_the_plans_of_2d_only(tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]) -> None:
    make_task("Task001_Source", parent=tmp_path / "raw_data")
    make_task("Task002_Own", parent=tmp_path / "raw_data", shape=(1, 30, 30))
    preprocess(tmp_path, "-no_pp")

    assert transfer(tmp_path, "--plans_from", "1", "-no_pp") == 0

    files = sorted(path.name for path in (tmp_path / "preprocessed" / "Task002_Own").glob("*.pkl"))
    assert files == ["from_Task001_plans_2D.pkl"]
    assert "Task002_Own: every case is a single slice, so only 2d is planned\n" in capsys.readouterr().out
