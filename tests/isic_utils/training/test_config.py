"""One flat dataclass says everything that can be chosen, and refuses what cannot."""

import dataclasses

import pytest
from archives import refusal, tiny_settings

from isic_utils.models import MODELS
from isic_utils.settings import PROFILES, Settings
from isic_utils.training import TrainConfig


def settings_of(profile: str, folder) -> Settings:
    return Settings(profile, data=folder, cache=folder, runs=folder, **PROFILES[profile])


def test_it_is_flat_and_frozen():
    config = TrainConfig()
    assert all(isinstance(value, str | int | float | None) for value in dataclasses.asdict(config).values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3


@pytest.mark.parametrize("model", MODELS)
def test_the_laptop_trains_narrow_networks_from_random_weights(tmp_path, model):
    config = TrainConfig.from_settings(settings_of("laptop", tmp_path), model)
    assert config.width == MODELS[model].narrow_width
    assert config.pretrained == (MODELS[model].weights == "package"), "Lite0 has ImageNet weights and one width"
    assert config.learning_rate == (1e-3 if config.pretrained else 2e-3)


def test_a_classifier_and_a_u_net_have_sizes_of_their_own(tmp_path):
    settings = settings_of("full", tmp_path)
    vgg16, unet = TrainConfig.from_settings(settings, "vgg16"), TrainConfig.from_settings(settings, "unet")
    assert (vgg16.task, vgg16.epochs, vgg16.batch_size, vgg16.micro_batch_size) == ("classification", 100, 32, None)
    assert (unet.task, unet.epochs, unet.batch_size, unet.micro_batch_size) == ("segmentation", 100, 8, 2)
    lab = settings_of("lab", tmp_path)
    assert TrainConfig.from_settings(lab, "resnet101").epochs == 10 < TrainConfig.from_settings(lab, "residual").epochs


def test_what_is_asked_for_replaces_what_is_usual(tmp_path):
    config = TrainConfig.from_settings(
        tiny_settings(tmp_path), "residual", epochs=7, learning_rate=0.5, seed=3, method="focal", width=1.0
    )
    assert (config.epochs, config.learning_rate, config.seed, config.method, config.width) == (7, 0.5, 3, "focal", 1.0)
    assert config.batch_size == 16


def test_a_model_of_timm_by_name(tmp_path):
    config = TrainConfig.from_settings(tiny_settings(tmp_path), "timm:resnet18", pretrained=False)
    assert config.task == "classification" and config.width == 1 and not config.pretrained


@pytest.mark.parametrize(
    "fields, parts",
    [
        (dict(model="resnet18"), ["'resnet18'", "vgg16"]),
        (dict(augmentation="weak"), ["augmentation 'weak'", "standard"]),
        (dict(method="magic"), ["'magic'", "focal"]),
        (dict(method="post-hoc logit adjustment"), ["post-hoc", "class-weighted"]),
        (dict(model="unet", mask_loss="focal"), ["mask_loss 'focal'", "soft Dice"]),
        (dict(model="unet", method="focal"), ["unet", "method='focal'"]),
        (dict(mask_loss="soft Dice"), ["residual", "mask_loss='soft Dice'"]),
        (dict(frozen_blocks=1), ["freeze", "residual"]),
        (dict(seed=-1), ["seed=-1"]),
        (dict(seed=2**32), ["seed=4294967296"]),
        (dict(model="efficientnet_lite0", frozen_blocks=1), ["freeze"]),
    ],
)
def test_what_cannot_be_trained_is_refused(fields, parts):
    refusal(lambda: TrainConfig(**fields), *parts)
