"""The protocols by name: what shell, notebooks and report train is the same run."""

import pytest
from archives import draw_2018, draw_2019, refusal, tiny_settings

from isic_utils.datasets import splits
from isic_utils.settings import SAMPLE
from isic_utils.training import fit, protocols, run_of
from isic_utils.training.protocols import PROTOCOLS, arrange, load_data


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A folder with both archives."""
    folder = tmp_path_factory.mktemp("protocols")
    draw_2019(folder / "data", count=120)
    draw_2018(folder / "data", count=20)
    return tiny_settings(folder, epochs=1, segmentation_epochs=1)


@pytest.fixture(scope="module")
def loaded(settings) -> dict:
    return {protocol: load_data(protocol, settings) for protocol in PROTOCOLS}


def test_each_protocol_has_its_table_and_its_images(settings, loaded):
    for protocol, (table, store) in loaded.items():
        masks = protocol == "segmentation"
        assert store.has_masks == masks == ("mask_path" in table)
        assert store.size == (settings.segmentation_size if masks else (settings.image_size,) * 2)
        assert len(store) == len(table) == (20 if masks else 120)


@pytest.mark.parametrize("group_by", ["image", "lesion"])
def test_fold_0_of_the_cross_validation_is_the_standard_run(settings, loaded, group_by):
    table, store = loaded["standard"]
    standard = arrange("standard", "residual", table, settings, group_by)
    assert standard[2].equals(splits.standard(table, group_by))
    found = [arrange("cross-validation", "residual", table, settings, group_by, fold=fold) for fold in (0, 3)]
    first, third = (run_of(config, store, *rest, settings.runs) for config, *rest in found)
    assert first == run_of(standard[0], store, *standard[1:], settings.runs) != third
    assert found[1][2].equals(splits.cross_validation(table, group_by)[3]) and found[1][0].fold == 3


def test_the_balanced_protocol_draws_its_table(settings, loaded):
    table, store = loaded["balanced"]
    config, drawn, split = arrange("balanced", "residual", table, settings, seed=4)
    assert drawn.equals(splits.balanced(table, "lesion", 4)) and split.equals(drawn["split"])
    assert (config.protocol, config.group_by, config.seed) == ("balanced", "lesion", 4)
    run = fit(config, store, drawn, split, settings.runs, progress=False)
    assert run.config["classes"] == list(drawn["label"].cat.categories)


def test_masks_are_split_by_lesion_where_the_lesions_are_known(settings, loaded):
    table, _ = loaded["segmentation"]
    table = table.assign(lesion_id=[f"lesion {number // 2}" for number in range(len(table))])  # two images of each
    config, same, split = arrange("segmentation", "unet", table, settings, mask_loss="soft Dice", seed=2)
    assert same is table and split.equals(splits.segmentation(table, "lesion", seed=2))
    assert (split.groupby(table["lesion_id"]).nunique() == 1).all()
    assert (config.task, config.group_by, config.mask_loss) == ("segmentation", "lesion", "soft Dice")
    assert config.epochs == settings.segmentation_epochs
    by_image = splits.segmentation(table, "image", seed=2)
    for known, asked in ((table, "image"), (table.drop(columns="lesion_id"), "lesion")):
        config, _, split = arrange("segmentation", "unet", known, settings, asked, seed=2)
        assert split.equals(by_image) and config.group_by == "image"


def test_changes_reach_the_config(settings, loaded):
    table, _ = loaded["standard"]
    config, _, _ = arrange("standard", "alexnet", table, settings, method="mixup", ema_decay=0.9, epochs=2)
    assert (config.method, config.ema_decay, config.epochs) == ("mixup", 0.9, 2)


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (dict(protocol="standard", model="unet"), ["'unet'", "vgg16"]),
        (dict(protocol="segmentation", model="vgg16"), ["'vgg16'", "unet"]),
        (dict(protocol="standard", model="residual", fold=2), ["fold 2", "standard"]),
        (dict(protocol="cross-validation", model="residual", fold=5), ["fold 5", "0 to 4"]),
        (dict(protocol="standard", model="nothing"), ["'nothing'"]),
    ],
)
def test_what_cannot_be_arranged_is_said_in_a_sentence(settings, loaded, arguments, parts):
    table, _ = loaded["standard"]
    refusal(lambda: arrange(table=table, settings=settings, **arguments), *parts)


def test_an_unknown_protocol_and_a_sample_that_is_not_drawn(settings, tmp_path, monkeypatch):
    refusal(lambda: arrange("balance", "residual", None, settings), "'balance'", "balanced")
    assert SAMPLE.name == "sample"
    monkeypatch.setattr(protocols, "SAMPLE", tmp_path / "data")
    refusal(lambda: load_data("standard", tiny_settings(tmp_path)), "isic_course.synthetic")
