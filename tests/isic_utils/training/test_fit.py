"""`fit`: it learns, keeps the right checkpoints, repeats itself, equals a hand-written loop, and says what is wrong."""

import errno

import numpy as np
import pandas as pd
import pytest
import torch
from archives import files_in, in_memory, interrupt_at, refusal
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from small_runs import CLASSIFIER, SEGMENTER, classify, labelled, masked, segment
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.tensorboard import SummaryWriter

from isic_utils import files, metrics, models
from isic_utils.datasets import IsicDataset, loader, splits, tables
from isic_utils.datasets.transforms import augment
from isic_utils.models import create_model
from isic_utils.training import (
    TrainConfig,
    epoch_seed,
    fit,
    get_accelerator,
    imbalance,
    losses,
    run_of,
    runs,
    state,
    tensorboard,
)
from isic_utils.training.loop import prepare_model
from isic_utils.training.schedule import warm_up_and_cosine

WEIGHTS = {"classifier": runs.CHECKPOINTS, "segmenter": runs.MASK_CHECKPOINTS}


@pytest.fixture(params=WEIGHTS)
def reference(request):
    """A finished run, and what it was trained on."""
    return request.getfixturevalue(request.param), request.getfixturevalue(
        {"classifier": "images", "segmenter": "pairs"}[request.param]
    )


def test_a_classifier_learns(images, tmp_path):
    run = classify(tmp_path, images, width=1 / 4, epochs=6)
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0] - 0.2
    assert run.scores().loc["bma", "BMA"] > 0.5


def test_a_u_net_learns(pairs, tmp_path):
    run = segment(tmp_path, pairs, width=1 / 4, epochs=5)
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0] - 0.2
    assert run.scores().loc["jaccard", "jaccard"] > 0.8 > 0.6 > run.history["validation_jaccard"].iloc[0]


# What a run leaves


def test_files_and_history(reference):
    run, (store, _, split) = reference
    found = {path.name for path in run.folder.iterdir() if not path.name.startswith((".", "events"))}
    results = {"config.json", "history.csv", "seconds.csv", "predictions_validation.csv", "predictions_test.csv"}
    assert found == results | {"last.pt"} | {f"best_{name}.pt" for name in run.checkpoints}
    assert run.checkpoints == (runs.MASK_CHECKPOINTS if store.has_masks else runs.CHECKPOINTS)
    scores = ["validation_jaccard"] if store.has_masks else ["validation_accuracy", "validation_bma"]
    assert list(run.history) == ["learning_rate", "train_loss", "validation_loss", *scores]
    assert run.history.index.tolist() == [1, 2, 3] and np.isfinite(run.history).all(axis=None)
    assert run.finished and run.seconds > 0
    config = run.config
    assert config["counts"] == split.value_counts().to_dict() and config["image_size"] == list(store.size)
    assert config["classes"] == (None if store.has_masks else tables.CODES)
    assert config["pretrained"] == "no" and config["images"] == store.digest
    for file in run.folder.glob("*.pt"):
        assert torch.load(file, weights_only=True), "tensors and plain values"


@pytest.mark.parametrize("name", ["validation", "test"])
def test_each_checkpoints_predictions_come_from_its_weights_which_are_those_of_its_best_epoch(reference, name):
    run, (store, table, split) = reference
    dataset = IsicDataset(store, table[split == name])
    for checkpoint in run.checkpoints:
        model, predictions = run.load_model(checkpoint), run.predictions(name, checkpoint)
        images, targets = next(iter(loader(dataset, len(dataset))))
        with torch.no_grad():
            logits = model(images.to(get_accelerator().device)).cpu()
        loss = losses.cross_entropy_and_jaccard if store.has_masks else losses.class_cross_entropy
        assert predictions["image"].tolist() == table["image"][split == name].tolist()
        assert predictions["loss"].to_numpy() == pytest.approx(loss(logits, targets).numpy(), abs=2e-2)
        if name == "validation":
            best = run.history[f"validation_{checkpoint}"]
            epoch = best.idxmin() if checkpoint == "loss" else best.idxmax()
            assert predictions["loss"].mean() == pytest.approx(run.history.loc[epoch, "validation_loss"], rel=1e-6)
    assert run.predictions(name).equals(run.predictions(name, run.headline))


def test_scores_are_those_of_the_predictions(classifier, segmenter):
    for name in ("validation", "test"):
        for checkpoint, row in classifier.scores(name).iterrows():
            predictions = classifier.predictions(name, checkpoint)
            pair = predictions["label"], predictions["predicted"]
            assert row["accuracy"] == pytest.approx(accuracy_score(*pair))
            assert row["BMA"] == pytest.approx(balanced_accuracy_score(*pair))
            assert row["loss"] == pytest.approx(predictions["loss"].mean())
        for checkpoint, row in segmenter.scores(name).iterrows():
            predictions = segmenter.predictions(name, checkpoint)
            for score, values in metrics.mask_scores(predictions).items():
                assert row[score] == pytest.approx(values.mean()) == pytest.approx(predictions[score].mean())


def test_a_worse_epoch_leaves_the_checkpoint(images, tmp_path, monkeypatch):
    """The learning rate of the third epoch spoils the weights; only last.pt changes then."""
    monkeypatch.setattr(state, "warm_up_and_cosine", lambda step, steps, warm_up: 500 * (step >= 2 * steps // 3))
    run = classify(tmp_path, images)
    assert run.history["validation_loss"].idxmin() < 3
    last = runs.read_state(run.folder / "last.pt")["model"]
    for checkpoint in run.checkpoints:
        weights = runs.read_state(run.weights(checkpoint))
        same = all(torch.equal(weights[layer], last[layer]) for layer in weights)
        assert same == (runs.best_epoch(run.history, checkpoint) == 3)


def test_tensorboard_reads_the_history_back(reference):
    run, (store, _, _) = reference
    board = EventAccumulator(str(run.folder)).Reload()
    columns = {"loss/train": "train_loss", "loss/validation": "validation_loss", "learning_rate": "learning_rate"}
    if store.has_masks:
        columns["Jaccard/validation"] = "validation_jaccard"
        assert board.Scalars("thresholded Jaccard/validation")
    else:
        columns |= {"BMA/validation": "validation_bma", "accuracy/validation": "validation_accuracy"}
        recalls = [board.Scalars(f"recall/{code}")[-1].value for code in tables.CODES]
        assert np.nanmean(recalls) == pytest.approx(run.history["validation_bma"].iloc[-1], rel=1e-5)
    for tag, column in columns.items():
        events = board.Scalars(tag)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx(run.history[column].tolist(), rel=1e-5), tag


# The loop


def test_a_loop_written_by_hand_gives_the_same_weights_to_the_last_bit(classifier, images):
    """As lesson 04 writes it: Dataset, DataLoader, augmentation of the batch, optimizer, scheduler."""
    store, table, split = images
    config = TrainConfig(**CLASSIFIER)
    batches = loader(IsicDataset(store, table[split == "train"]), config.batch_size, shuffle=True, seed=config.seed)
    torch.manual_seed(config.seed)
    model = prepare_model(create_model(config.model, width=config.width), get_accelerator())
    device = get_accelerator().device
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.02, fused=True)
    steps = config.epochs * len(batches)
    scheduler = LambdaLR(optimizer, lambda step: warm_up_and_cosine(step, steps, config.warm_up))
    generator, means = torch.Generator(), []
    for epoch in range(1, config.epochs + 1):
        torch.manual_seed(epoch_seed(config.seed, epoch))
        generator.manual_seed(epoch_seed(config.seed, epoch))
        batches.sampler.set_epoch(epoch)
        model.train()
        total = 0.0
        for x, y in batches:
            x, y = augment(x.to(device), y.to(device), generator)
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            total += loss.item()
        means.append(total / len(batches))
    last = runs.read_state(classifier.folder / "last.pt")["model"]
    for layer, values in model.state_dict().items():
        assert torch.equal(values.cpu(), last[layer]), layer
    assert means == pytest.approx(classifier.history["train_loss"].tolist(), rel=1e-6)


@pytest.mark.parametrize("method", [name for name, one in imbalance.METHODS.items() if not one.post_hoc])
def test_every_method_trains_in_a_folder_of_its_own(images, tmp_path_factory, classifier, method):
    run = classify(tmp_path_factory.mktemp("method"), images, method=method, epochs=2)
    assert run.finished and np.isfinite(run.history).all(axis=None)
    if method != "cross-entropy":
        assert method.replace(" ", "-") in run.folder.name


@pytest.mark.parametrize("mask_loss", losses.MASK_LOSSES)
def test_every_loss_of_masks_trains(pairs, tmp_path, mask_loss):
    store, table, split = pairs
    run = segment(tmp_path, pairs, mask_loss=mask_loss, epochs=1)
    images, masks = next(iter(loader(IsicDataset(store, table[split == "test"]), 100)))
    with torch.no_grad():
        expected = losses.MASK_LOSSES[mask_loss](run.load_model()(images), masks)
    assert run.predictions()["loss"].to_numpy() == pytest.approx(expected.numpy(), abs=2e-2)


def test_the_loss_of_a_method_takes_over_at_its_epoch_and_knows_the_counts(images, tmp_path, monkeypatch):
    asked = []

    def spy(logits, label, counts):
        asked.append((label, counts))
        return losses.class_cross_entropy(logits, label)

    monkeypatch.setitem(imbalance.METHODS, "spy", imbalance.Method(loss=spy, deferred=0.5))
    classify(tmp_path, images, method="spy")
    _, table, split = images
    train = table["label"][split == "train"]
    assert len(asked) == 2 * (len(train) // 16), "epochs 2 and 3 of 3"
    assert asked[0][1].tolist() == train.value_counts()[tables.CODES].tolist()


def test_what_a_sampler_draws_is_what_is_trained_on(tmp_path, monkeypatch):
    data = labelled()
    store, table, split = data
    seen, labels = [], dict(zip(table["image"], table["label"].cat.codes, strict=True))
    take = type(store).take

    def spy(self, rows):
        seen.extend(rows)
        return take(self, rows)

    monkeypatch.setattr(type(store), "take", spy)
    classify(tmp_path, data, method="undersampling", epochs=1)
    train = (split == "train").sum()
    drawn = store.images[seen[: train // 16 * 16]]
    assert set(drawn) <= set(table["image"][split == "train"])
    kept = pd.Series([labels[image] for image in set(drawn)]).value_counts()
    assert kept.max() <= table["label"][split == "train"].value_counts().min()


@pytest.mark.parametrize("count, batch_size", [(33, 32), (5, 32), (40, 8)])
def test_a_training_batch_is_never_a_single_image(tmp_path, monkeypatch, count, batch_size):
    table, store = in_memory([tables.CODES[number % 8] for number in range(count + 16)], size=16)
    split = pd.Series(["train"] * count + ["validation"] * 8 + ["test"] * 8, table.index)
    sizes, forward = [], models.ResidualNet.forward

    def spy(self, x):
        if self.training:
            sizes.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(models.ResidualNet, "forward", spy)
    run = classify(tmp_path, (store, table, split), epochs=2, batch_size=batch_size)
    assert sizes == [min(count, batch_size)] * 2 * (count // min(count, batch_size)) and run.finished


def test_no_more_images_are_in_memory_at_a_time_than_asked(pairs, tmp_path, monkeypatch):
    sizes, forward = {True: [], False: []}, models.UNet.forward

    def spy(self, x):
        sizes[self.training].append(len(x))
        return forward(self, x)

    monkeypatch.setattr(models.UNet, "forward", spy)
    segment(tmp_path, pairs, epochs=1, batch_size=7, micro_batch_size=3)
    assert sizes[True] == [3, 2, 2] * 4 and max(sizes[False]) <= 4


def test_the_moving_average_is_that_of_the_steps_and_is_kept(images, tmp_path, monkeypatch):
    steps, real = [], state.AveragedModel.update_parameters

    def spy(self, model):
        steps.append({name: weights.clone() for name, weights in model.state_dict().items()})
        real(self, model)

    monkeypatch.setattr(state.AveragedModel, "update_parameters", spy)
    run = classify(tmp_path, images, epochs=1, ema_decay=0.8)
    kept, last = runs.read_state(run.weights("loss")), runs.read_state(run.folder / "last.pt")["model"]
    assert len(steps) == (images[2] == "train").sum() // 16
    for name, weights in kept.items():
        if weights.is_floating_point():
            mean = steps[0][name]
            for step in steps[1:]:
                mean = 0.8 * mean + 0.2 * step[name]
            assert torch.allclose(weights, mean, atol=1e-5), name
    assert not all(torch.equal(kept[name], last[name]) for name in kept), "the mean is not the last step"


def test_frozen_blocks_stay_as_imagenet_made_them(tmp_path):
    table, store = in_memory(tables.CODES * 5, size=33)  # Lite0 takes none that are smaller
    split = pd.Series(["train"] * 16 + ["validation"] * 12 + ["test"] * 12, table.index)
    config = dict(model="efficientnet_lite0", width=1.0, pretrained=True, epochs=1, frozen_blocks=2)
    run = classify(tmp_path, (store, table, split), **config)
    assert run.config["frozen_blocks"] == 2 and run.config["pretrained"] == "ImageNet"
    before = dict(create_model("efficientnet_lite0").named_parameters())
    after = runs.read_state(run.weights("loss"))
    frozen = ("conv_stem.", "bn1.", "blocks.0.0.", "blocks.1.0.")
    for name, weights in before.items():
        if not name.startswith("network.classifier"):
            assert torch.equal(after[name], weights) == name.removeprefix("network.").startswith(frozen), name


def test_a_pretrained_u_net_trains_through_the_same_loop(pairs, tmp_path):
    run = segment(tmp_path, pairs, model="unet_lite0", width=1.0, pretrained=True, learning_rate=1e-3, epochs=2)
    assert run.config["pretrained"] == "ImageNet"
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]


# What can go wrong


@pytest.mark.parametrize("train, batch_size", [(classify, 8), (classify, 96), (segment, 8)])
def test_a_loss_that_is_not_finite_stops_and_says_what_to_try(tmp_path, train, batch_size):
    refusal(
        lambda: train(tmp_path, batch_size=batch_size, learning_rate=1e30),
        "no longer finite in epoch 1", "learning_rate=1e+29 instead of 1e+30",
    )  # fmt: skip
    assert not list(tmp_path.rglob("last.pt"))


MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
]


@pytest.mark.parametrize("error", MEMORY, ids=["CUDA", "Linux", "MPS", "Windows"])
def test_out_of_memory_says_which_field_to_lower(images, tmp_path, monkeypatch, error):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, error)
    refusal(lambda: classify(tmp_path, images), "16 images", "micro_batch_size=8")


def test_out_of_memory_with_micro_batches(pairs, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, MEMORY[0])
    refusal(lambda: segment(tmp_path, pairs, micro_batch_size=3), "3 images", "micro_batch_size=1")


def test_other_errors_are_not_taken_for_memory(images, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        classify(tmp_path, images)


@pytest.mark.parametrize("empty", splits.SPLITS)
def test_an_empty_set(images, tmp_path, empty):
    store, table, split = images
    split = split.replace(empty, "test" if empty == "train" else "train")
    refusal(lambda: classify(tmp_path / "runs", (store, table, split)), f"The {empty} set is empty")
    assert not (tmp_path / "runs").exists()


def test_a_split_of_another_table(images, tmp_path):
    store, table, split = images
    some = table[table.index % 5 > 0].reset_index(drop=True)  # numbered anew: each row would get another's place
    refusal(lambda: classify(tmp_path / "runs", (store, some, split)), "different rows", "same table")


def test_an_image_that_is_not_decoded(images, tmp_path):
    store, table, split = images
    table = table.assign(image=table["image"].replace("ISIC_0000005", "ISIC_0000005x"))
    refusal(lambda: classify(tmp_path, (store, table, split)), "ISIC_0000005x")


def test_a_classifier_with_the_table_of_the_masks(pairs, tmp_path):
    refusal(lambda: classify(tmp_path / "runs", pairs), "residual", "without masks")


def test_a_label_that_is_missing(images, tmp_path):
    store, table, split = images
    without = table.assign(label=table["label"].mask(table.index == 3))
    refusal(lambda: classify(tmp_path / "runs", (store, without, split)), "label")
    assert not (tmp_path / "runs").exists()


def test_masks_that_are_missing_or_too_many(images, pairs, tmp_path):
    refusal(lambda: segment(tmp_path / "runs", images), "unet needs images with masks", "ImageStore")
    store, table, split = pairs
    labelled_pairs = table.assign(label=pd.Categorical(["NV"] * len(table), tables.CODES))
    refusal(lambda: classify(tmp_path / "runs", (store, labelled_pairs, split)), "residual needs images without masks")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("method", ["class-weighted", "logit adjustment", "deferred re-weighting"])
def test_a_class_without_training_images_is_named_as_the_cause(images, tmp_path, method):
    store, table, split = images
    without = split.mask((table["label"] == "SCC") & (split == "train"), "test")
    refusal(lambda: classify(tmp_path, (store, table, without), method=method), "no training image")


@pytest.mark.parametrize("train, draw", [(classify, labelled), (segment, masked)])
def test_images_that_could_not_be_read_are_left_out(tmp_path, train, draw):
    store, table, split = draw()
    image = table["image"][split == "test"].iloc[0]
    store.left_out = pd.DataFrame([{"image": image, "path": "somewhere", "reason": "is empty"}])
    store.images = store.images.where(store.images != image, "nobody")
    run = train(tmp_path, (store, table, split), epochs=1)
    assert run.predictions("test")["image"].tolist() == table["image"][split == "test"].tolist()[1:]


@pytest.mark.parametrize(
    "owner, name", [(files, "FileLock"), (tensorboard, "SummaryWriter"), (SummaryWriter, "add_scalar")]
)
def test_a_folder_that_cannot_be_written(images, tmp_path, monkeypatch, owner, name):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(owner, name, refuse)
    refusal(lambda: classify(tmp_path, images), str(tmp_path), "Read-only file system", "ISIC_RUNS")


# Again, and what is looked for


def test_the_same_seed_gives_the_same_result_and_another_one_another(reference, tmp_path):
    run, data = reference
    train = segment if data[0].has_masks else classify
    again, other = train(tmp_path, data), train(tmp_path, data, seed=1)
    assert again.folder.name == run.folder.name
    for name, content in files_in(run.folder).items():
        if name.endswith((".csv", ".json")) and name != "seconds.csv":
            assert (again.folder / name).read_bytes() == content, name
    for checkpoint in run.checkpoints:
        ours, theirs = (runs.read_state(one.weights(checkpoint)) for one in (again, run))
        assert all(torch.equal(ours[layer], theirs[layer]) for layer in theirs)
    assert "seed1" in other.folder.name and not other.history.equals(run.history)


def test_a_finished_run_is_returned_at_once(reference, monkeypatch):
    def must_not_build(*arguments, **options):
        raise AssertionError("the model was built again")

    run, data = reference
    before = files_in(run.folder)
    monkeypatch.setattr(models, "create_model", must_not_build)
    train, config = (segment, SEGMENTER) if data[0].has_masks else (classify, CLASSIFIER)
    folder = run.folder.parents[1]
    assert train(folder, data) == run == run_of(TrainConfig(**config), *data, folder)
    assert files_in(run.folder) == before


def test_runs_lie_where_the_environment_says(images, tmp_path, monkeypatch):
    monkeypatch.setenv("ISIC_RUNS", str(tmp_path / "elsewhere"))
    run = fit(TrainConfig(**CLASSIFIER | {"epochs": 1}), *images, progress=False)
    assert run.folder.parents[1] == tmp_path / "elsewhere" and run.finished


def test_to_look_for_a_run_trains_nothing(images, tmp_path):
    assert not run_of(TrainConfig(**CLASSIFIER), *images, tmp_path / "runs").finished
    assert not (tmp_path / "runs").exists()


def test_a_balanced_run_has_its_own_classes_and_leaves_the_standard_one_alone(classifier, images):
    before = files_in(classifier.folder)
    table, store = in_memory(tables.CODES * 25, size=16)
    drawn = splits.balanced(table)
    run = classify(classifier.folder.parents[1], (store, drawn, drawn["split"]), protocol="balanced", epochs=1)
    assert run.config["classes"] == ["MEL", "NV", "BCC", "BKL", splits.MERGED]
    assert set(run.predictions()["image"]) == set(drawn.loc[drawn["split"] == "test", "image"])
    assert files_in(classifier.folder) == before


# ImageNet weights that cannot be had


def weights_that(can_be_had: bool):
    """A `create_model` for a network whose ImageNet weights can be had, or not."""
    real = create_model

    def build(name, num_classes=8, pretrained=None, width=1.0):
        model = real("residual", num_classes, width=1 / 16)
        if pretrained is not False:
            model.pretrained = "ImageNet" if can_be_had else models.NOT_DOWNLOADED
        if model.pretrained == "ImageNet":
            with torch.no_grad():
                next(model.parameters()).add_(0.1)
        return model

    return build


@pytest.mark.parametrize("interrupted_at", [None, 6], ids=["finished", "interrupted"])
def test_a_run_without_its_imagenet_weights_says_so_and_is_trained_again_once_they_can_be_had(
    images, tmp_path, monkeypatch, interrupted_at
):
    config = dict(model="resnet101", pretrained=True, width=1.0)
    monkeypatch.setattr(models, "create_model", weights_that(True))
    expected = classify(tmp_path / "expected", images, **config)
    assert expected.config["pretrained"] == "ImageNet"
    monkeypatch.setattr(models, "create_model", weights_that(False))
    if interrupted_at:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt_at(patch, torch.optim.AdamW, "step", interrupted_at, KeyboardInterrupt())
            classify(tmp_path / "runs", images, **config)
    run = classify(tmp_path / "runs", images, **config)
    before = files_in(run.folder)
    assert run.config["pretrained"] == models.NOT_DOWNLOADED and run.folder.name == expected.folder.name
    assert not run.history.equals(expected.history)
    assert classify(tmp_path / "runs", images, **config) == run and files_in(run.folder) == before
    monkeypatch.setattr(models, "create_model", weights_that(True))
    again = classify(tmp_path / "runs", images, **config)
    assert again == run and again.config["pretrained"] == "ImageNet"
    assert again.history.equals(expected.history) and again.predictions().equals(expected.predictions())
    board = EventAccumulator(str(again.folder)).Reload()
    assert [event.step for event in board.Scalars("loss/train")] == [1, 2, 3], "no epoch twice in TensorBoard"


def test_a_run_that_began_with_imagenet_weights_goes_on_without_a_download(images, tmp_path, monkeypatch):
    config = dict(model="resnet101", pretrained=True, width=1.0)
    monkeypatch.setattr(models, "create_model", weights_that(True))
    expected = classify(tmp_path / "expected", images, **config)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, torch.optim.AdamW, "step", 6, KeyboardInterrupt())
        classify(tmp_path / "runs", images, **config)
    monkeypatch.setattr(models, "create_model", weights_that(False))
    run = classify(tmp_path / "runs", images, **config)
    assert run.config["pretrained"] == "ImageNet" and run.history.equals(expected.history)
