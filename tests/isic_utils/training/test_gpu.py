"""On a graphics card: it is used, what it learns is what a processor learns, and an interrupted run goes on there."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from archives import interrupt_at
from small_runs import CLASSIFIER, classify, segment

from isic_utils.inference.predict import predict_masks
from isic_utils.training import TrainConfig, fit_all, get_accelerator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no graphics card of NVIDIA's here"),
]


@pytest.fixture(autouse=True)
def memory_is_used():
    torch.cuda.init()
    torch.cuda.reset_peak_memory_stats()
    yield
    assert torch.cuda.max_memory_allocated() > 1e6


@pytest.fixture(autouse=True)
def any_precision():
    """accelerate keeps that of a process; the next test may ask for another."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_both_tasks_learn_in_each_precision(images, pairs, tmp_path, monkeypatch, precision):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    assert get_accelerator().mixed_precision == precision
    classes = classify(tmp_path, images, epochs=30)
    masks = segment(tmp_path, pairs, epochs=8, micro_batch_size=4)
    for run in (classes, masks):
        assert run.history["train_loss"].iloc[-1] < 0.9 * run.history["train_loss"].iloc[0]
    assert classes.scores().loc["loss", "accuracy"] > 0.6  # on a processor 0.9: each class has a colour of its own


def test_in_32_bits_the_first_epoch_is_a_processor_s(images, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    loss = classify(tmp_path, images).history["train_loss"].iloc[0]
    assert loss == pytest.approx(2.089, rel=0.04)  # on a processor; other random numbers of dropout move it by 2 %


def test_an_interrupted_run_goes_on(images, tmp_path, monkeypatch):
    whole = classify(tmp_path / "whole", images)
    with monkeypatch.context() as patch:
        interrupt_at(patch, torch.optim.AdamW, "step", 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            classify(tmp_path / "begun", images)
    resumed = classify(tmp_path / "begun", images)
    np.testing.assert_allclose(resumed.history["train_loss"], whole.history["train_loss"], rtol=0.02)


def test_fit_all_trains_in_this_process_and_masks_come_back_as_numpy(images, pairs, tmp_path):
    store, table, split = images
    jobs = [(TrainConfig(**CLASSIFIER | dict(seed=seed)), table, split) for seed in (0, 1)]
    assert all(run.finished for run in fit_all(jobs, store, tmp_path, progress=False))
    run = segment(tmp_path, pairs)
    store, table, split = pairs
    masks = predict_masks(run, store, table["image"][split == "test"], tta=True)
    assert isinstance(masks, np.ndarray) and masks.min() >= 0 and masks.max() <= 1
