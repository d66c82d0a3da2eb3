"""Words that are mistyped, missing, out of range, or contradict each other. Nothing is looked at yet."""

from __future__ import annotations

from spoiling import Entry

TRAIN = "autoseg_train 2d Trainer 1 0"
PREDICT = "autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/out"


def typed(name: str, words: str, message: str, **more: object) -> Entry:
    """A usage error: exit code 2."""
    return Entry(name=name, words=words, message=message, code=2, **more)  # type: ignore[arg-type]


def contradicted(name: str, words: str, message: str) -> Entry:
    """Understood, and refused: exit code 1."""
    return Entry(name=name, words=words, message=message)


ENTRIES: tuple[Entry, ...] = (
    typed(
        "no words at all",
        "autoseg_train",
        message="error: the following arguments are required: CONFIGURATION, TRAINER, TASK, FOLD",
    ),
    typed(
        "a configuration that no folder can be called",
        "autoseg_train ../2d Trainer 1 0",
        message="error: argument CONFIGURATION: expected a name of letters, digits, ., - and _, such as 3d_fullres, found '../2d'",
    ),
    typed(
        "a fold that is no number",
        "autoseg_train 2d Trainer 1 first",
        message="error: argument FOLD: expected 0 to 4, or all, found 'first'",
    ),
    typed(
        "a negative fold",
        "autoseg_train 2d Trainer 1 -1",
        message="error: argument FOLD: expected 0 to 4, or all, found '-1'",
    ),
    typed("a word too many", f"{TRAIN} 1", message="error: unrecognized arguments: 1"),
    typed(
        "a mistyped option",
        f"{TRAIN} --epoch 5",
        alone=True,
        message="error: unknown option --epoch; did you mean --epochs?",
    ),
    typed(
        "an option with one dash too few", f"{TRAIN} -npz", message="error: unknown option -npz; did you mean --npz?"
    ),
    typed("an option nobody knows", f"{TRAIN} --quickly", message="error: unknown option --quickly"),
    typed(
        "a negative number of epochs",
        f"{TRAIN} --epochs -5",
        message="error: argument --epochs: expected a whole number from 1, found '-5'",
    ),
    typed(
        "no epoch", f"{TRAIN} --epochs 0", message="error: argument --epochs: expected a whole number from 1, found '0'"
    ),
    typed(
        "epochs with a fraction",
        f"{TRAIN} --epochs 2.5",
        message="error: argument --epochs: expected a whole number from 1, found '2.5'",
    ),
    typed(
        "a batch of zero",
        f"{TRAIN} --batch_size 0",
        message="error: argument --batch_size: expected a whole number from 1, found '0'",
    ),
    typed(
        "a learning rate of zero",
        f"{TRAIN} --learning_rate 0",
        message="error: argument --learning_rate: expected a number above 0, found '0'",
    ),
    typed(
        "a learning rate that is no number",
        f"{TRAIN} --learning_rate nan",
        message="error: argument --learning_rate: expected a number above 0, found 'nan'",
    ),
    typed(
        "an infinite learning rate",
        f"{TRAIN} --learning_rate inf",
        message="error: argument --learning_rate: expected a number above 0, found 'inf'",
    ),
    typed(
        "minutes that are negative",
        f"{TRAIN} --checkpoint_minutes -1",
        message="error: argument --checkpoint_minutes: expected a number above 0, found '-1'",
    ),
    typed(
        "a device that does not exist",
        f"{TRAIN} -device gpu",
        message="error: argument -device: expected cpu, cuda, cuda:1 or mps, found 'gpu'",
    ),
    typed(
        "a precision that does not exist",
        f"{TRAIN} --precision fp8",
        message="error: argument --precision: invalid choice: 'fp8' (choose from 'auto', 'fp32', 'bf16', 'fp16')",
    ),
    typed(
        "no recipe to compare",
        "autoseg_compare_recipes -t 1",
        message="error: the following arguments are required: --recipes",
    ),
    contradicted(
        "a tracker by its library's name alone",
        "autoseg_train 2d Trainer 1 1 --trackers wandb",
        message="no tracker is called 'wandb'; name one as path/to/file.py:ClassName, or package.module:ClassName",
    ),
    contradicted(
        "a tracker in a file that is not there",
        "autoseg_train 2d Trainer 1 1 --trackers absent.py:Mine",
        message="absent.py: no such file; name a class of your own as path/to/file.py:ClassName",
    ),
    typed(
        "no combination at random",
        "autoseg_compare_recipes -t 1 --recipes Trainer --random 0",
        message="error: argument --random: expected a whole number from 1, found '0'",
    ),
    typed(
        "more than all of the epochs",
        "autoseg_compare_recipes -t 1 --recipes Trainer --early_share 2",
        message="error: argument --early_share: expected a number above 0 and at most 1, found '2'",
    ),
    typed(
        "a pause before the first epoch",
        f"{TRAIN} --pause_after 0",
        message="error: argument --pause_after: expected a whole number from 1, found '0'",
    ),
    typed(
        "to continue and to overwrite",
        f"{TRAIN} -c --overwrite",
        message="error: argument --overwrite: not allowed with argument -c",
    ),
    typed(
        "an option without its value", f"{TRAIN} --epochs", message="error: argument --epochs: expected one argument"
    ),
    typed(
        "a number in another script",
        f"{TRAIN} --epochs \N{ARABIC-INDIC DIGIT FIVE}",
        message="error: argument --epochs: expected a whole number from 1, found '\N{ARABIC-INDIC DIGIT FIVE}'",
    ),
    typed(
        "a number of 5000 digits",
        f"{TRAIN} --seed {'9' * 5000}",
        message="error: argument --seed: expected a whole number from 0, found '999999999999...9999999999999'",
    ),
    typed(
        "a step of zero",
        f"{PREDICT} --step_size 0",
        message="error: argument --step_size: expected a number above 0, found '0'",
    ),
    typed(
        "a step above one",
        f"{PREDICT} --step_size 1.5",
        message="error: argument --step_size: expected a number above 0 and at most 1, found '1.5'",
    ),
    typed("no output", "autoseg_predict -i images", message="error: the following arguments are required: -o"),
    typed(
        "a mode that does not exist",
        f"{PREDICT} --mode quick",
        message="error: argument --mode: invalid choice: 'quick' (choose from 'normal', 'fast')",
    ),
    typed(
        "no worker",
        "autoseg_verify_dataset -t 1 --workers 0",
        message="error: argument --workers: expected a whole number from 1, found '0'",
    ),
    typed(
        "a memory of zero",
        "autoseg_plan_and_preprocess -t 1 -gpu_memory_target 0",
        message="error: argument -gpu_memory_target: expected a number above 0, found '0'",
    ),
    typed("a command that does not exist", "autoseg plan", own_home=True, message="there is no command 'plan'"),
    contradicted(
        "a fold that is not trained there",
        f"{PREDICT} -f 7 -device cpu",
        message="{home}/results/3d_fullres/Task001_Balls/Trainer__autoseg/fold_7/weights_final.pt: no weights of fold 7 here; train it with: autoseg_train 3d_fullres Trainer Task001_Balls 7",
    ),
    contradicted(
        "a fold that the task does not have",
        "autoseg_train 2d Trainer 1 7 -device cpu",
        message="fold 7: {home}/preprocessed/Task001_Balls/splits_final.json holds the folds 0, 1, 2, 3, 4; use one of them, or all",
    ),
    contradicted(
        "a trainer that does not exist",
        "autoseg_train 2d Trainr 1 0",
        message="no trainer is called 'Trainr'; known: Trainer, Trainer100Epochs, Trainer2000Epochs, Trainer20Epochs, Trainer250Epochs, Trainer4000Epochs, Trainer500Epochs, Trainer50Epochs, Trainer5Epochs, TrainerAdam, TrainerAdamW, TrainerBatchNorm, TrainerCrossEntropy, TrainerDA3, TrainerDA5, TrainerDice, TrainerDiceFocal, TrainerDiceTopK10, TrainerFocal, TrainerLinearInterpolation, TrainerNoAugmentation, TrainerNoMirroring, TrainerNoSmoothing, TrainerTopK10, mpunet; did you mean Trainer?; name a recipe file as path/to/recipe.json, a class of your own as path/to/file.py:ClassName",
    ),
    contradicted(
        "a trainer in a file that does not exist",
        "autoseg_train 2d {outer}/mine.py:Mine 1 0",
        message="{outer}/mine.py: no such file; name a class of your own as path/to/file.py:ClassName",
    ),
    contradicted(
        "a graphics card that is not there",
        f"{TRAIN} -c -device cuda:7",
        message="device cuda:7: torch {some} finds 0 CUDA devices; check the driver and nvidia-smi, or use -device cpu",
    ),
    contradicted(
        "the best and another model",
        f"{PREDICT} --best -m 2d",
        message="--best predicts with what was selected; leave out -m, -p, -f, -chk and -l, or leave out --best",
    ),
    contradicted(
        "probabilities of a mode that has none",
        f"{PREDICT} --mode fast --save_npz",
        message="--mode fast makes no probabilities for --save_npz to keep; use --mode normal",
    ),
    contradicted(
        "a part that is none",
        f"{PREDICT} --num_parts 2 --part_id 2 -m 2d",
        message="part 2 of 2: parts are numbered from 0 to 1; check --part_id",
    ),
    contradicted(
        "a file for a folder of images",
        f"{PREDICT}.nii.gz",
        message="{outer}/out.nii.gz: for a folder of images, -o names a folder, not a file",
    ),
    contradicted(
        "images that are not there",
        "autoseg_predict -i {outer}/absent -o {outer}/out",
        message="{outer}/absent: no such file or folder; name a folder of images, or the files of one case",
    ),
    contradicted(
        "predictions into the folder of the images",
        "autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {home}/raw_data/Task001_Balls/imagesTs",
        message="{home}/raw_data/Task001_Balls/imagesTs: is the folder of the images; name one of its own",
    ),
    contradicted(
        "segmentations to refine for no cascade",
        f"{PREDICT} -m 2d -l {{outer}} -device cpu",
        message="2d is no cascade and refines nothing; leave {outer} out (-l)",
    ),
    contradicted(
        "a planner that does not exist",
        "autoseg_plan_and_preprocess -t 1 -pl3d Planner4D",
        message="0 Planner3D classes are called 'Planner4D'; known: Planner3D, Planner3DResidualL, Planner3DResidualM, Planner3DResidualXL. Name a class of your own as path/to/file.py:ClassName.",
    ),
    contradicted(
        "planes without the planner of planes",
        "autoseg_plan_and_preprocess -t 1 --multiplanar -pl2d None -tf 1",
        message="--multiplanar: -pl2d, which plans it, is None; name one, or leave away --multiplanar",
    ),
    contradicted(
        "more views than there can be",
        "autoseg_plan_and_preprocess -t 1 --multiplanar --views 101 -tf 1",
        message="--views: from 1 to 100 directions, found 101",
    ),
    contradicted(
        "a file of views that is something else",
        "autoseg_plan_and_preprocess -t 1 --multiplanar --views {home}/raw_data/Task001_Balls/dataset.json -tf 1 -p other",
        message="{home}/raw_data/Task001_Balls/dataset.json: expected a list of 1 to 100 vectors [z, y, x], such as [[1, 0, 0], [0, 1, 0], [0, 0, 1]] for the three axes of the scanner; correct the file",
    ),
    contradicted(
        "plans that are not there",
        "autoseg_train 2d Trainer 1 0 -p other",
        message="{home}/preprocessed/Task001_Balls/other_plans_2D.pkl: no plans here; run autoseg_plan_and_preprocess first",
    ),
    contradicted(
        "no plans and no planner",
        "autoseg_plan_and_preprocess -t 1 -pl3d None -pl2d None -p other",
        message="{home}/preprocessed/Task001_Balls: no plans 'other' here, and -pl3d None -pl2d None makes none; leave one of the two away",
    ),
    typed(
        "plans that leave the folder",
        "autoseg_plan_and_preprocess -t 1 -p ../../escaped -tf 1",
        message="error: argument -p: expected a name of letters, digits, ., - and _, found '../../escaped'",
    ),
    contradicted(
        "a channel that is not there",
        "autoseg_plot_task -t 1 -o {outer}/pictures -channel 3 --workers 1",
        message="Task001_Balls: has channels 0 to 0 (MRI), not 3",
    ),
    contradicted(
        "a case to look at that is not there",
        "autoseg_plot_activations -t 1 -m 2d --case case_1 -o {outer}/pictures -device cpu",
        message="Task001_Balls: no training case is called 'case_1'; did you mean case_001?; there are case_000, case_001, case_002, case_003, case_004",
    ),
    contradicted(
        "a dataset that is not there",
        "autoseg_convert_dataset -i {outer}/absent",
        message="{outer}/absent: no such folder; name the dataset's folder",
    ),
    contradicted(
        "ensembling one folder with nothing in it",
        "autoseg_ensemble -f {outer} {home} -o {outer}/mean",
        message="{outer}: no probabilities (<case>.npz) here; predict with --save_npz",
    ),
)
