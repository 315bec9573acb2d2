"""The loop is the one that everybody writes: gradients of the mean over the batch, predictions without gradients."""

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from archives import in_memory, pairs_in_memory
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from isic_utils import metrics
from isic_utils.datasets import IsicDataset, loader, tables
from isic_utils.models import create_model
from isic_utils.training import epoch_seed, evaluate, get_accelerator, losses, train_one_epoch
from isic_utils.training.loop import prepare_model
from isic_utils.training.schedule import warm_up_and_cosine

CODES = [tables.CODES[number % 8] for number in range(22)]


class Recorder(torch.optim.SGD):
    """Plain steps, with the gradients of each noted down."""

    def step(self):
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self.gradients = [*getattr(self, "gradients", []), [parameter.grad.clone() for parameter in parameters]]
        super().step()


@pytest.fixture
def pairs(monkeypatch) -> IsicDataset:
    """Ten images with masks, in 64 bits, where rounding is far below what the tests compare."""
    torch.set_default_dtype(torch.float64)
    table, store = pairs_in_memory(10, 16, 32)
    yield IsicDataset(store, table)
    torch.set_default_dtype(torch.float32)


def convolutions() -> nn.Module:
    """No batch normalisation, so that an image's gradients do not depend on its neighbours."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def one_epoch(dataset: IsicDataset, micro_batch_size: int | None = None) -> tuple[float, list, nn.Module]:
    """Two batches of five. Returns the loss, the gradients of each step, and the network."""
    model = convolutions()
    optimizer = Recorder(model.parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1)
    batches = loader(dataset, 5, shuffle=True, seed=1)
    loss = losses.cross_entropy_and_jaccard
    value = train_one_epoch(
        model, batches, loss, optimizer, scheduler, get_accelerator(), micro_batch_size=micro_batch_size
    )
    return value, optimizer.gradients, model


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3, 100])
def test_the_gradients_of_micro_batches_add_up_to_the_batchs(pairs, micro_batch_size):
    whole, parts = one_epoch(pairs), one_epoch(pairs, micro_batch_size)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert len(parts[1]) == len(whole[1]) == 2, "one step per batch, however many micro-batches"
    for ours, theirs in zip(parts[1], whole[1], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_a_step_takes_the_gradient_of_the_mean_over_the_batch_and_the_loss_is_the_mean_over_the_images(pairs):
    value, gradients, _ = one_epoch(pairs, micro_batch_size=2)
    model, means = convolutions(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, (images, masks) in enumerate(loader(pairs, 5, shuffle=True, seed=1)):
        optimizer.zero_grad()
        loss = losses.cross_entropy_and_jaccard(model(images), masks).mean()
        loss.backward()
        for ours, theirs in zip(gradients[number], model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs.grad, rtol=1e-10, atol=1e-14)
        optimizer.step()
        means.append(loss.item())
    assert value == pytest.approx(np.mean(means), rel=1e-12)


def test_evaluation_takes_no_gradients_and_changes_nothing():
    table, store = in_memory(CODES, size=16)
    model = create_model("residual", width=1 / 16)
    before = {layer: value.clone() for layer, value in model.state_dict().items()}
    batches = loader(IsicDataset(store, table), 4)
    first, second = (evaluate(model, batches, losses.class_cross_entropy, get_accelerator()) for _ in range(2))
    assert first.equals(second), "dropout is off"
    assert all(torch.equal(value, before[layer]) for layer, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_predictions_of_a_classifier():
    table, store = in_memory(CODES, size=16)
    dataset, model = IsicDataset(store, table), create_model("residual", width=1 / 16).eval()
    predictions = evaluate(model, loader(dataset, 5), losses.class_cross_entropy, get_accelerator())
    assert list(predictions) == ["image", "label", "predicted", "loss", *tables.CODES]
    images, labels = (torch.stack(list(map(torch.as_tensor, values))) for values in zip(*dataset, strict=True))
    with torch.no_grad():
        logits = model(images)
    assert predictions["image"].tolist() == table["image"].tolist()
    assert predictions["label"].tolist() == CODES
    assert predictions["predicted"].tolist() == [tables.CODES[best] for best in logits.argmax(dim=1)]
    assert predictions[tables.CODES].to_numpy() == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-5)
    assert predictions["loss"].to_numpy() == pytest.approx(
        functional.cross_entropy(logits, labels, reduction="none").numpy(), abs=1e-5
    )


def test_predictions_of_a_u_net(pairs):
    model = convolutions()
    predictions = evaluate(model, loader(pairs, 4), losses.soft_dice, get_accelerator())
    images, masks = (torch.stack(values) for values in zip(*pairs, strict=True))
    with torch.no_grad():
        logits = model(images)
    areas = metrics.overlap(masks[:, 0].numpy() == 1, logits[:, 0].numpy() > 0)
    for name, values in (areas | metrics.mask_scores(areas)).items():
        assert predictions[name].to_numpy() == pytest.approx(values), name
    assert predictions["loss"].to_numpy() == pytest.approx(losses.soft_dice(logits, masks).numpy())


def test_outputs_of_a_prepared_model_have_at_least_32_bits():
    model = prepare_model(create_model("residual", width=1 / 16), get_accelerator())
    assert model(torch.rand(2, 3, 16, 16)).dtype == torch.float32


def test_epochs_and_seeds_never_share_their_random_numbers():
    drawn = [epoch_seed(seed, epoch) for seed in range(5) for epoch in range(1, 101)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("steps, warm_up", [(10, 0.2), (300, 0.2), (40, 0.0)])
def test_the_learning_rate_rises_in_a_line_and_falls_along_half_a_cosine(steps, warm_up):
    rates = np.array([warm_up_and_cosine(step, steps, warm_up) for step in range(steps + 1)])
    top = int(np.ceil(warm_up * steps))
    assert rates[0] == (0.1 if warm_up else 1) and rates[-1] == pytest.approx(0) and rates.max() <= 1
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert np.diff(rates[:top], 2) == pytest.approx(0) and rates[top] == pytest.approx(1)
    fraction = (np.arange(top, steps + 1) - top) / (steps - top)
    assert rates[top:] == pytest.approx((1 + np.cos(np.pi * fraction)) / 2)


FAULTS = """
import resource, torch
import isic_utils.training  # what is saved depends on what lies in memory: here all that a training imports
from isic_utils.processes import keep_memory

def pages_got(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(10_000_000)  # 40 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(pages_got(3))
keep_memory()
pages_got(3)
print(pages_got(3))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc, on Linux, hands large blocks back")
def test_a_block_of_memory_is_got_once():
    """How many pages of memory a process gets for three blocks of 40 MB, before and after it was told to keep them."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 10 * after < before
