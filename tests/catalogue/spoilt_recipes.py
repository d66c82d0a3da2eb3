"""Recipe files that say what no recipe can: each is refused with the file, the key, what was found and what may stand there."""

from __future__ import annotations

import json
from typing import Any

from spoiling import Entry, Place, Spoil


def saying(content: Any) -> Spoil:
    """A recipe file that holds this."""

    def write(place: Place) -> None:
        (place.outer / "mine.json").write_text(content if isinstance(content, str) else json.dumps(content))

    return write


def refused(name: str, content: Any, message: str) -> Entry:
    """A recipe that no training begins with."""
    return Entry(
        name=name,
        spoil=saying(content),
        words="autoseg_train 2d {outer}/mine.json 1 0",
        message=f"{{outer}}/mine.json: {message}",
    )


def compared(name: str, content: Any, *words: str, message: str) -> Entry:
    """Recipes that are not compared."""
    return Entry(
        name=name,
        spoil=saying(content),
        words=f"autoseg_compare_recipes -t 1 -m 2d --recipes {' '.join(words)}",
        message=message,
    )


ENTRIES: tuple[Entry, ...] = (
    refused("a recipe that is a list", [], "expected an object with named fields, found list"),
    refused("a recipe that is a number", 5, "expected an object with named fields, found int"),
    refused(
        "JSON with single quotation marks",
        "{'epochs': 5}",
        "not valid JSON: line 1 column 2 (char 1): single quotation marks; write double ones",
    ),
    refused(
        "JSON that ends too early",
        '{"epochs": 5',
        "not valid JSON: Expecting ',' delimiter: line 1 column 13 (char 12)",
    ),
    refused(
        "a key of a recipe that is mistyped",
        {"epoch": 5},
        "there is no key 'epoch'; known: epochs, iterations_per_epoch, validate_every, max_iterations, max_hours, validation_batches, batch_size, learning_rate, network, loss, loss_weights, optimiser, schedule, stopping, augmentation, batch_steps, tasks, task_order, foreground_fraction, foreground_by_recall, balance, slices, mirror, frequency_bias, frozen, fresh, weight_average, gradient_clip, deep_supervision, base; did you mean epochs?",
    ),
    refused("a task alone at once", {"tasks": ["4"]}, "tasks: two or more, each once, found 4"),
    refused("a task twice at once", {"tasks": ["4", "4"]}, "tasks: two or more, each once, found 4, 4"),
    refused(
        "an order of tasks that nobody knows",
        {"tasks": ["4", "5"], "task_order": "random"},
        "task_order: expected turns or sizes, found 'random'",
    ),
    refused(
        "a batch step that nobody knows",
        {"batch_steps": ["mixups"]},
        "batch_steps[0]: no batch step is called 'mixups'; known: mixup, blurred_labels, dilated_labels; did you mean mixup?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "a mixture without a share",
        {"batch_steps": {"name": "mixup", "alpha": 0}},
        "batch_steps[0].alpha: above 0 and below 100, found 0.0",
    ),
    refused("a bias that is a word", {"frequency_bias": "yes"}, "frequency_bias: expected bool, found 'yes'"),
    refused("epochs as a text", {"epochs": "5"}, "epochs: expected int, found '5'"),
    refused("a recipe with part of an epoch", {"epochs": 2.5}, "epochs: expected int, found 2.5"),
    refused("no epoch at all", {"epochs": 0}, "epochs: at least 1, found 0"),
    refused("no batch in an epoch", {"iterations_per_epoch": 0}, "iterations_per_epoch: at least 1, found 0"),
    refused("no batch before a validation", {"validate_every": 0}, "validate_every: at least 1, found 0"),
    refused("fewer than one batch in all", {"max_iterations": -1}, "max_iterations: at least 1, found -1"),
    refused("no validation batch", {"validation_batches": 0}, "validation_batches: at least 1, found 0"),
    refused("a recipe with a batch of nothing", {"batch_size": 0}, "batch_size: at least 1, found 0"),
    refused("a recipe of no hours", {"max_hours": 0}, "max_hours: above 0 and below 10000, found 0.0"),
    refused("hours as words", {"max_hours": "a night"}, "max_hours: expected float, found 'a night'"),
    refused(
        "a learning rate beyond all",
        {"learning_rate": 20},
        "learning_rate: between 0 and 10, found 20.0; the usual value is 0.01",
    ),
    refused(
        "a learning rate below nothing",
        {"learning_rate": -0.1},
        "learning_rate: between 0 and 10, found -0.1; the usual value is 0.01",
    ),
    refused(
        "more foreground than there is", {"foreground_fraction": 1.5}, "foreground_fraction: from 0 to 1, found 1.5"
    ),
    refused("a share for yes", {"foreground_by_recall": 0.5}, "foreground_by_recall: expected bool, found 0.5"),
    refused(
        "what foreground follows",
        {"foreground_by_recall": "recall"},
        "foreground_by_recall: expected bool, found 'recall'",
    ),
    refused(
        "less foreground than nothing", {"foreground_fraction": -0.1}, "foreground_fraction: from 0 to 1, found -0.1"
    ),
    refused("gradients clipped to nothing", {"gradient_clip": 0}, "gradient_clip: above 0, found 0.0"),
    refused("a number for yes", {"mirror": 1}, "mirror: expected bool, found 1"),
    refused("no loss", {"loss": []}, "loss: at least one, found none"),
    refused(
        "a loss that nobody knows",
        {"loss": "dise"},
        "loss: no loss is called 'dise'; known: dice, squared_dice, generalised_dice, tversky, focal_tversky, focal_dice, exponential_logarithmic, cross_entropy, weighted_cross_entropy, binary_cross_entropy, top_k, focal, binary_focal, adaptive_wing, absolute, squared, smooth_absolute, boundary; did you mean dice?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "a loss without a name",
        {"loss": ["dice", {"gamma": 2}]},
        "loss[1]: expected the name of one of dice, squared_dice, generalised_dice, tversky, focal_tversky, focal_dice, exponential_logarithmic, cross_entropy, weighted_cross_entropy, binary_cross_entropy, top_k, focal, binary_focal, adaptive_wing, absolute, squared, smooth_absolute, boundary, found None",
    ),
    refused(
        "a setting of a loss that is mistyped",
        {"loss": {"name": "focal", "gama": 2}},
        "loss: loss 'focal' has no setting 'gama'; known: gamma, alpha; did you mean gamma?",
    ),
    refused(
        "a setting of a loss as a text",
        {"loss": {"name": "focal", "gamma": "2"}},
        "loss.gamma: expected float, found '2'",
    ),
    refused(
        "a loss that looks at less than nothing",
        {"loss": {"name": "top_k", "percent": 0}},
        "loss.percent: above 0 and at most 100, found 0.0",
    ),
    refused(
        "a loss that divides by nothing",
        {"loss": ["dice", {"name": "focal_tversky", "gamma": 0}]},
        "loss[1].gamma: above 0 and at most 100, found 0.0",
    ),
    refused(
        "a share that is none",
        {"loss": {"name": "focal", "alpha": -1}},
        "loss.alpha: from 0 to 1, found -1.0",
    ),
    refused(
        "a network without features",
        {"network": {"name": "vnet", "width": -1}},
        "network.width: from 1 to 4096, found -1",
    ),
    refused(
        "a network that drops all",
        {"network": {"name": "vnet", "dropout": 1}},
        "network.dropout: from 0 to below 1, found 1.0",
    ),
    refused(
        "a rate below nothing at the first batch",
        {"schedule": {"name": "one_cycle", "first": -1}},
        "schedule.first: from 0 to 1, found -1.0",
    ),
    refused(
        "the larger one first",
        {"augmentation": [{"name": "noise", "deviation": [0.1, 0.0]}]},
        "augmentation[0].deviation: from 0 to 100, the smaller first, found (0.1, 0.0)",
    ),
    refused(
        "an image zoomed to nothing",
        {"augmentation": [{"name": "low_resolution", "zoom": [0.0, 1.0]}]},
        "augmentation[0].zoom: above 0 and at most 1, the smaller first, found (0.0, 1.0)",
    ),
    refused(
        "noise more often than always",
        {"augmentation": [{"name": "noise", "probability": 15}]},
        "augmentation[0].probability: from 0 to 1, found 15.0",
    ),
    refused(
        "weights that are driven away",
        {"optimiser": {"name": "AdamW", "weight_decay": -0.1}},
        "optimiser.weight_decay: from 0 to 100, found -0.1",
    ),
    refused(
        "moments that never end",
        {"optimiser": {"name": "Adam", "betas": [0.9, 1.0]}},
        "optimiser.betas: from 0 to below 1, found (0.9, 1.0)",
    ),
    refused("a weight too few", {"loss_weights": [1]}, "loss_weights: one for each loss, 2, found 1"),
    refused("a weight of nothing", {"loss_weights": [1, 0]}, "loss_weights: above 0 and below 1e+06, found (1.0, 0.0)"),
    refused("weights as one number", {"loss_weights": 2}, "loss_weights: expected tuple, found 2"),
    refused(
        "an optimiser in small letters",
        {"optimiser": "sgd"},
        "optimiser: no optimiser is called 'sgd'; known: SGD, Adam, AdamW, RMSprop; did you mean SGD?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "an optimiser as a number",
        {"optimiser": 3},
        "optimiser: expected a name, or an object with a name and settings, found 3",
    ),
    refused(
        "momentum that never ends", {"optimiser": {"momentum": 1.0}}, "optimiser.momentum: from 0 to below 1, found 1.0"
    ),
    refused(
        "momentum for Adam",
        {"optimiser": {"name": "Adam", "momentum": 0.9}},
        "optimiser: optimiser 'Adam' has no setting 'momentum'; known: weight_decay, amsgrad, betas, epsilon",
    ),
    refused(
        "three betas",
        {"optimiser": {"name": "AdamW", "betas": [0.9, 0.99, 0.999]}},
        "optimiser.betas: expected 2 entries, found 3",
    ),
    refused(
        "a schedule that nobody knows",
        {"schedule": "cosin"},
        "schedule: no schedule is called 'cosin'; known: poly, cosine, constant, cosine_restarts, cyclic, step, exponential, one_cycle, on_plateau; did you mean cosine?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused("a warm-up below nothing", {"schedule": {"warm_up": -1}}, "schedule.warm_up: 0 epochs or more, found -1"),
    refused(
        "steps of no length", {"schedule": {"name": "step", "every": 0}}, "schedule.every: 1 epoch or more, found 0"
    ),
    refused(
        "a plateau of what nobody measures",
        {"schedule": {"name": "on_plateau", "watch": "accuracy"}},
        "schedule.watch: expected loss or dice, found 'accuracy'",
    ),
    refused(
        "no patience", {"stopping": {"name": "early", "patience": 0}}, "stopping.patience: 1 epoch or more, found 0"
    ),
    refused(
        "patience without stopping",
        {"stopping": {"patience": 10}},
        "stopping: stopping 'never' has no setting 'patience'; known: none",
    ),
    refused(
        "a stopping that nobody knows",
        {"stopping": "soon"},
        "stopping: no stopping is called 'soon'; known: never, early; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "an augmentation that nobody knows",
        {"augmentation": "strong"},
        "augmentation: no augmentation is called 'strong'; known: none, light, default, DA3, DA5, mri, listed; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "a range of the augmentation that is mistyped",
        {"augmentation": {"numbers": {"rotations": 3}}},
        "augmentation: numbers has no field 'rotations'; known: rotation, rotation_in_plane, rotation_in_plane_elongated, rotation_probability, scale, scale_probability, order, noise, noise_probability, blur, blur_probability, blur_channel_probability, brightness, brightness_probability, contrast, contrast_probability, low_resolution, low_resolution_probability, low_resolution_channel_probability, gamma, inverted_gamma_probability, gamma_probability, previous_radius, previous_morphology_probability, previous_removed_share, previous_removal_probability; did you mean rotation?",
    ),
    refused(
        "a range as one number",
        {"augmentation": {"numbers": {"scale": 0.7}}},
        "augmentation.numbers.scale: expected tuple, found 0.7",
    ),
    refused(
        "a step that nobody knows",
        {"augmentation": ["noise", "elastik"]},
        "augmentation[1]: no step is called 'elastik'; known: rotation_and_scale, elastic, quarter_turns, exchanged_axes, noise, poisson_noise, blur, median, sharpening, brightness, additive_brightness, brightness_gradient, contrast, clahe, gamma, local_gamma, low_resolution, blank_rectangles, bias_field, motion, ghosting, spikes; did you mean elastic?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "a step's range the wrong way round",
        {"augmentation": [{"name": "elastic", "displacement": [6, 1]}]},
        "augmentation[0].displacement: the lowest and the highest value, both from 0 on, found [6.0, 1.0]",
    ),
    refused(
        "a step's probability above 1",
        {"augmentation": [{"name": "motion", "probability": 2}]},
        "augmentation[0].probability: from 0 to 1, found 2.0",
    ),
    refused(
        "a step as a number",
        {"augmentation": [1]},
        "augmentation[0]: expected a name, or an object with a name and settings, found 1",
    ),
    refused(
        "a turn after other steps",
        {"augmentation": ["noise", "rotation_and_scale"]},
        "augmentation[1]: rotation_and_scale is the first step, and there is one at most",
    ),
    refused(
        "a network that nobody knows",
        {"network": "vnett"},
        "network: no network is called 'vnett'; known: planned, unet_2016, unet_2017, unet_dropout, unet_bilinear, unet_multiplanar, vnet, vnet_light, dense_single, dense_dual, dense_dual_single, dense_voxel, skip_dense, hyper_dense, highres, resnet_vae, resnet_med3d, mednext; did you mean vnet?; name one of your own as path/to/file.py:name, one of an installed library as package.module:name",
    ),
    refused(
        "a setting of a network that is mistyped",
        {"network": {"name": "vnet", "widht": 8}},
        "network: network 'vnet' has no setting 'widht'; known: width, levels, normalisation, nonlinearity, dropout; did you mean width?",
    ),
    refused(
        "a part of a library that is not there",
        {"optimiser": "torch.optimm:SGD"},
        "optimiser: torch.optimm:SGD: the module 'torch.optimm' cannot be imported: No module named 'torch.optimm'; install it, or name a file of your own as path/to/file.py:name",
    ),
    refused(
        "a part that a library does not have",
        {"optimiser": "torch.optim:Sgd"},
        "optimiser: torch.optim:Sgd: nothing in torch.optim that can be called has this name; did you mean SGD?",
    ),
    refused(
        "a part in a file that is not there",
        {"loss": "absent.py:mine"},
        "loss: {outer}/absent.py: no such file; name a class of your own as path/to/file.py:ClassName",
    ),
    refused(
        "a base that nobody knows",
        {"base": "Trainr"},
        "no recipe is called 'Trainr'; known: Trainer, Trainer5Epochs, Trainer20Epochs, Trainer50Epochs, Trainer100Epochs, Trainer250Epochs, Trainer500Epochs, Trainer2000Epochs, Trainer4000Epochs, TrainerNoMirroring, TrainerNoAugmentation, TrainerLinearInterpolation, TrainerDA3, TrainerDA5, TrainerCrossEntropy, TrainerDice, TrainerNoSmoothing, TrainerTopK10, TrainerDiceTopK10, TrainerFocal, TrainerDiceFocal, TrainerAdam, TrainerAdamW, TrainerBatchNorm, mpunet; did you mean Trainer?; name a file of your own as path/to/recipe.json",
    ),
    compared(
        "one recipe that is to be compared",
        {},
        "Trainer",
        message="Task001_Balls: one recipe alone cannot be compared; name another, or list values to try in it",
    ),
    compared(
        "a recipe that is compared with itself",
        {},
        "{outer}/mine.json",
        "{home}/../mine.json",
        message="two recipes are called mine; their models would share a folder, so rename one file",
    ),
    compared(
        "no value to try",
        {"epochs": {"try": []}},
        "Trainer",
        "{outer}/mine.json",
        message="{outer}/mine.json: epochs.try: expected a list of values, found []",
    ),
    compared(
        "one value to try that is no list",
        {"loss": [{"name": "focal", "gamma": {"try": 2.0}}]},
        "Trainer",
        "{outer}/mine.json",
        message="{outer}/mine.json: loss[0].gamma.try: expected a list of values, found 2.0",
    ),
    compared(
        "values to try with company",
        {"loss": {"name": "focal", "try": [2.0, 3.0]}},
        "Trainer",
        "{outer}/mine.json",
        message="{outer}/mine.json: loss: 'try' stands alone in its object, found name, try",
    ),
    compared(
        "a value to try that no recipe can have",
        {"epochs": {"try": [5, -5]}},
        "Trainer",
        "{outer}/mine.json",
        message="{outer}/mine.json: with epochs_-5: epochs: at least 1, found -5",
    ),
    compared(
        "more combinations than anybody trains",
        {name: {"try": list(range(1, 12))} for name in ("epochs", "batch_size", "validation_batches")},
        "{outer}/mine.json",
        message="{outer}/mine.json: 1331 combinations of what is to be tried, each a training; list fewer values, or have some drawn (--random)",
    ),
    compared(
        "a key with values to try that no recipe has",
        {"epoch": {"try": [5, 6]}},
        "{outer}/mine.json",
        message="{outer}/mine.json: with epoch_5: there is no key 'epoch'; known: epochs, iterations_per_epoch, validate_every, max_iterations, max_hours, validation_batches, batch_size, learning_rate, network, loss, loss_weights, optimiser, schedule, stopping, augmentation, batch_steps, tasks, task_order, foreground_fraction, foreground_by_recall, balance, slices, mirror, frequency_bias, frozen, fresh, weight_average, gradient_clip, deep_supervision, base; did you mean epochs?",
    ),
    compared(
        "a configuration to compare for that is not planned",
        {},
        "Trainer",
        "TrainerDice",
        "-m",
        "3d_lowres",
        message="Task001_Balls: 3d_lowres is not planned; planned are 2d, 3d_fullres; train one of these, or plan again: autoseg_plan_and_preprocess says why it was left out",
    ),
    refused("a base that is itself", {"base": "mine.json"}, "is its own base, through {outer}/mine.json"),
    refused(
        "a base in a file that is not there",
        {"base": "absent.json"},
        "{outer}/absent.json: no such file; autoseg_make_recipe writes a recipe to begin with",
    ),
)
