"""What a script may ask for when it packs models."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import WorkspaceError
from autoseg.paths import Workspace
from autoseg.sharing.workspace import ExportChoice, export_model


@pytest.mark.parametrize("named", [{"configurations": ("2d",)}, {"trainer": "Mine"}, {"plans": "mine"}])
def test_models_that_are_named_beside_the_selection_are_refused(tmp_path: Path, named: dict[str, str]) -> None:
    workspace = Workspace.from_environment({}, home=tmp_path)
    choice = ExportChoice(best=True, **named)

    with pytest.raises(
        WorkspaceError, match="`best=True` packs what was selected; leave out `configurations`, `trainer`"
    ):
        export_model("Task001_Balls", tmp_path / "a.zip", workspace, choice)
    assert list(tmp_path.iterdir()) == []
