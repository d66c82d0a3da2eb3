"""Sharing as its users do it: export here, install elsewhere, look at what is there, predict the same."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.commands import export_model, install_model, list_models, model_info, predict
from autoseg.images import read_image
from autoseg.paths import Workspace

TASK = "Task004_Balls"


@pytest.fixture
def home(workspace: Workspace) -> Path:
    return workspace.results.parent


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as opened:
        return opened.namelist()


def configurations_in(path: Path) -> set[str]:
    return {name.split("/")[1] for name in names_in(path) if name.endswith("plans.pkl")}


def describe_data(workspace: Workspace, **more: str) -> None:
    folder = workspace.task(TASK).raw
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"name": "Balls", "reference": "us, 2026", **more}))


def test_export_install_list_and_info(
    workspace, home, elsewhere, tmp_path, train_model, fingerprint_file, capsys
) -> None:
    train_model(workspace.results, "2d", folds=("0", "1"))
    train_model(workspace.results, "3d_fullres", folds=("0",))
    describe_data(workspace, licence="CC-BY 4.0")
    workspace.task(TASK).preprocessed.mkdir(parents=True)
    workspace.task(TASK).fingerprint.write_bytes(fingerprint_file.read_bytes())
    archive = tmp_path / "balls.zip"

    assert export_model.main(["-t", "4", "-o", str(archive), "--home", str(home)]) == 0
    told = capsys.readouterr()
    size = f"{archive.stat().st_size / 1e6:.1f}"
    assert told.out == (
        f"{TASK}: 2d, folds 0, 1\n{TASK}: 3d_fullres, fold 0\nwritten: {archive} ({size} MB)\n"
        f"next elsewhere: autoseg_install_model {archive}\n"
    )

    assert install_model.main([str(archive), "--home", str(elsewhere)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"# {TASK}\n\n- Data: Balls\n")
    assert "- Licence of the data: CC-BY 4.0\n- Reference: us, 2026\n" in told
    assert told.endswith(
        f"installed: {elsewhere}/results/2d/{TASK}/Trainer__autoseg\n"
        f"installed: {elsewhere}/results/3d_fullres/{TASK}/Trainer__autoseg\n"
        f"next: autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t {TASK} -m 2d --home {elsewhere}\n"
        f"or: autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t {TASK} -m 3d_fullres --home {elsewhere}\n"
    )

    assert list_models.main(["--home", str(elsewhere)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["task", "configuration", "trainer", "plans", "folds", "Dice", "MB"],
        [TASK, "2d", "Trainer", "autoseg", "0", "1", "0.5500", "(2", "folds)", "0.0"],
        [TASK, "3d_fullres", "Trainer", "autoseg", "0", "0.5000", "(1", "fold)", "0.0"],
    ]

    assert model_info.main([str(archive)]) == 0
    of_archive = capsys.readouterr().out
    assert model_info.main(["-t", "4", "--home", str(elsewhere)]) == 0
    of_installed = capsys.readouterr().out
    assert model_info.main(["-t", "4", "--home", str(home)]) == 0
    assert capsys.readouterr().out == of_installed == of_archive
    assert "- Training cases: 4\n" in of_archive


def test_what_predicts_here_predicts_the_same_elsewhere(
    workspace, home, elsewhere, tmp_path, train_model, make_task
) -> None:
    train_model(workspace.results, "3d_fullres", folds=("0", "1"))
    images = make_task(cases=1, test_cases=2) / "imagesTs"
    archive = tmp_path / "balls.zip"
    assert export_model.main(["-t", "4", "-o", str(archive), "--home", str(home)]) == 0
    assert install_model.main([str(archive), "--home", str(elsewhere)]) == 0

    for place in (home, elsewhere):
        code = predict.main(
            ["-i", str(images), "-o", str(place / "out"), "-t", "4", "-device", "cpu", "--home", str(place)]
        )
        assert code == 0

    ours, theirs = ({path.name: path.read_bytes() for path in (p / "out").glob("*.nii.gz")} for p in (home, elsewhere))
    assert len(ours) == 2
    assert ours == theirs


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_images_of_other_formats_are_predicted_into_their_own(
    workspace, home, tmp_path, train_model, make_task, ending: str
) -> None:
    train_model(workspace.results)
    images = make_task(cases=1, test_cases=1) / "imagesTs"
    (source,) = images.iterdir()
    other = tmp_path / "other" / f"test_001_0000.{ending}"
    other.parent.mkdir()
    sitk.WriteImage(sitk.ReadImage(str(source)), str(other), True)

    for folder in (images, other.parent):
        command = ["-i", str(folder), "-o", str(tmp_path / "out" / folder.name), "-t", "4", "-device", "cpu"]
        assert predict.main([*command, "--home", str(home)]) == 0

    expected = read_image(tmp_path / "out" / "imagesTs" / "test_001.nii.gz")
    found = read_image(tmp_path / "out" / "other" / f"test_001.{ending}")
    assert set(np.unique(expected.data)) == {0, 1}
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.geometry.differences(expected.geometry) == ()


def test_an_archive_is_installed_from_the_web(
    workspace, home, elsewhere, tmp_path, train_model, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    train_model(workspace.results)
    export_model.main(["-t", "4", "-o", str(tmp_path / "balls.zip"), "--home", str(home)])

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/balls.zip"
        assert install_model.main([address, "--home", str(elsewhere)]) == 0
        server.shutdown()

    assert f"\ninstalled: {elsewhere}/results/3d_fullres/{TASK}/Trainer__autoseg\nnext: " in capsys.readouterr().out
    assert [path.name for path in (elsewhere / "results").iterdir()] == ["3d_fullres"]


def test_a_file_address_and_an_existing_model_are_refused(workspace, home, tmp_path, train_model, capsys) -> None:
    train_model(workspace.results)
    export_model.main(["-t", "4", "-o", str(tmp_path / "balls.zip"), "--home", str(home)])
    capsys.readouterr()

    assert install_model.main(["file:///etc/passwd", "--home", str(home)]) == 1
    assert capsys.readouterr().err.startswith("autoseg_install_model: 'file:///etc/passwd': refused: not a web address")
    assert install_model.main([str(tmp_path / "balls.zip"), "--home", str(home)]) == 1
    assert capsys.readouterr().err.endswith("Add --overwrite to replace them.\n")
    assert install_model.main([str(tmp_path / "balls.zip"), "--overwrite", "--home", str(home)]) == 0
    assert f"\nreplaced: {home}/results/3d_fullres/{TASK}/Trainer__autoseg\nnext: " in capsys.readouterr().out


def test_what_is_not_trained_is_named_with_the_command_and_what_there_is(
    workspace, home, tmp_path, train_model, capsys
) -> None:
    train_model(workspace.results, "2d", trainer="MyTrainer")

    def told(*options: str) -> str:
        assert export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--home", str(home), *options]) == 1
        return capsys.readouterr().err

    assert told("-m", "2d", "3d_lowres") == (
        f"autoseg_export_model: {TASK}: no trained 2d, 3d_lowres by Trainer with plans autoseg; train with\n"
        f"  autoseg_train 2d Trainer {TASK} 0\ntrained are:\n  -m 2d -tr MyTrainer -p autoseg\n"
    )
    assert "no trained 3d_fullres by Trainer with plans autoseg; train with\n  autoseg_train 3d_fullres" in told()
    assert f"{TASK}: no trained 3d_lowres by MyTrainer with plans autoseg" in told(
        "-tr", "my.py:MyTrainer", "-m", "3d_lowres"
    )
    assert "no weights_final.pt of fold 3; train with\n  autoseg_train 2d MyTrainer" in told(
        "-tr", "MyTrainer", "-f", "3"
    )
    assert not (tmp_path / "x.zip").exists()


def test_a_task_where_nothing_is_trained(workspace, home, tmp_path, capsys) -> None:
    describe_data(workspace)

    assert export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--home", str(home)]) == 1
    assert capsys.readouterr().err.endswith("Trainer Task004_Balls 0\nnothing is trained yet\n")
    assert model_info.main(["-t", "4", "--home", str(home)]) == 1
    assert capsys.readouterr().err == (
        f"autoseg_model_info: {TASK}: no trained model here; train one with: autoseg_train 3d_fullres Trainer {TASK} 0\n"
    )
    assert list_models.main(["--home", str(home)]) == 0
    assert capsys.readouterr().out == (
        f"{home}/results: no model yet; train one with autoseg_train, or install one with autoseg_install_model\n"
    )


def test_the_stage_before_a_cascade_comes_with_it(workspace, home, tmp_path, train_model) -> None:
    train_model(workspace.results, "3d_lowres")
    train_model(workspace.results, "3d_cascade_fullres", previous="3d_lowres")
    train_model(workspace.results, "2d")

    export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "-m", "3d_cascade_fullres", "--home", str(home)])

    assert configurations_in(tmp_path / "x.zip") == {"3d_lowres", "3d_cascade_fullres"}


@pytest.mark.parametrize(
    ("members", "options", "packed"),
    [
        (["2d"], [], True),
        (["2d"], ["-m", "2d"], True),
        ([{"configuration": "2d", "folds": ["0"]}, {"configuration": "3d_fullres"}], ["-m", "2d"], False),
        ([{"configuration": "2d"}, {"configuration": "3d_fullres"}], ["-m", "2d", "3d_fullres"], True),
    ],
)
def test_the_selection_is_packed_when_its_members_are(
    workspace, home, tmp_path, train_model, capsys, members: Sequence[object], options: list[str], packed: bool
) -> None:
    train_model(workspace.results, "2d")
    train_model(workspace.results, "3d_fullres")
    selection = workspace.task(TASK).selection
    selection.parent.mkdir(parents=True)
    selection.write_text(json.dumps({"members": members}))

    assert export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--home", str(home), *options]) == 0

    assert (f"results/selections/{TASK}/selection.json" in names_in(tmp_path / "x.zip")) == packed
    assert ("left out, for it names models that are not packed" in capsys.readouterr().err) != packed


def test_the_best_alone_is_packed_with_the_stage_before_it(workspace, home, tmp_path, train_model, select) -> None:
    train_model(workspace.results, "3d_lowres")
    train_model(workspace.results, "3d_cascade_fullres", previous="3d_lowres")
    train_model(workspace.results, "2d")
    select(home, "3d_cascade_fullres", task=TASK)

    assert export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--best", "--home", str(home)]) == 0

    assert configurations_in(tmp_path / "x.zip") == {"3d_lowres", "3d_cascade_fullres"}
    assert f"results/selections/{TASK}/selection.json" in names_in(tmp_path / "x.zip")


def test_the_best_needs_a_selection_and_leaves_nothing_to_choose(
    workspace, home, tmp_path, train_model, capsys
) -> None:
    train_model(workspace.results, "2d")
    words = ["-t", "4", "-o", str(tmp_path / "x.zip"), "--best", "--home", str(home)]

    assert export_model.main(words) == 1
    assert "nothing is selected yet; run autoseg_find_best_configuration" in capsys.readouterr().err
    assert export_model.main([*words, "-m", "2d"]) == 1
    assert "--best packs what was selected; leave out -m, -tr and -p, or leave out --best" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


def test_a_missing_licence_is_said(workspace, home, tmp_path, train_model, capsys) -> None:
    train_model(workspace.results)
    describe_data(workspace)

    export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--home", str(home)])

    assert "dataset.json states no licence; add one before you pass the models on" in capsys.readouterr().out


def test_a_number_taken_by_another_task_and_an_old_selection_are_said(
    workspace, home, elsewhere, tmp_path, train_model, capsys
) -> None:
    train_model(workspace.results)
    export_model.main(["-t", "4", "-o", str(tmp_path / "x.zip"), "--home", str(home)])
    (elsewhere / "raw_data" / "Task004_Cubes").mkdir(parents=True)
    old = elsewhere / "results" / "selections" / TASK / "selection.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")

    assert install_model.main([str(tmp_path / "x.zip"), "--home", str(elsewhere)]) == 0

    told = capsys.readouterr().err
    assert f"warning: {TASK}: has the number of Task004_Cubes; name the tasks in full with -t\n" in told
    assert f"warning: {old}: was chosen from other models; run autoseg_find_best_configuration again\n" in told


def test_a_damaged_model_does_not_hide_the_others(workspace, home, train_model, capsys) -> None:
    folder = train_model(workspace.results, "2d")
    train_model(workspace.results, "3d_fullres")
    (folder / "fold_0" / "validation_raw" / "summary.json").write_text("{}")

    assert list_models.main(["--home", str(home)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "damaged" in lines[1]
    assert "0.5000 (1 fold)" in lines[2]


@pytest.mark.parametrize("options", [[], ["-t", "4", "x.zip"]])
def test_info_is_of_a_task_or_of_a_file(options: list[str], home: Path, capsys) -> None:
    assert model_info.main([*options, "--home", str(home)]) == 2
    assert "usage: autoseg_model_info" in capsys.readouterr().err
