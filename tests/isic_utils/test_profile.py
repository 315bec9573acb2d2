"""The three environment variables and what they choose."""

import dataclasses

import pytest
from archives import is_one_clear_message

from isic_utils import models, settings as profile
from isic_utils.errors import IsicError
from isic_utils.models import NAMES


def test_without_variables_a_laptop_works_on_the_sample():
    settings = profile.current()
    assert settings.name == "laptop" and settings.slim
    assert settings.data == profile.PROJECT / "data" / "sample" and settings.data_name == "sample"
    assert settings.runs == profile.PROJECT / "runs"
    assert (profile.PROJECT / "isic_utils").is_dir()


def test_full_has_the_thesis_sizes(monkeypatch):
    monkeypatch.setenv("ISIC_PROFILE", "full")
    settings = profile.current()
    assert settings.picture_size == 256 and settings.segmentation_size == (768, 1024) and settings.epochs == 100
    assert not settings.slim and settings.pretrained is None


def test_lab_is_pretrained_on_128_pixels(monkeypatch):
    monkeypatch.setenv("ISIC_PROFILE", "lab")
    settings = profile.current()
    assert settings.picture_size == 128 and not settings.slim
    starts = {name: models.if_it_has_weights(name, settings.pretrained) for name in NAMES}
    assert starts.pop("residual") is None, "nobody has trained it on ImageNet"
    assert set(starts.values()) == {True}


def test_what_u_nets_start_from(monkeypatch):
    for name, expected in (("laptop", None), ("lab", True), ("full", None)):
        monkeypatch.setenv("ISIC_PROFILE", name)
        settings = profile.current()
        assert models.if_it_has_weights("unet", settings.pretrained) is None, "nobody has trained it on ImageNet"
        assert models.if_it_has_weights("unet_lite0", settings.pretrained) is expected
        models.starts_from("unet", models.if_it_has_weights("unet", settings.pretrained), settings.slim)


def test_settings_for_masks_fit_together(monkeypatch):
    for name in profile.SIZES:
        monkeypatch.setenv("ISIC_PROFILE", name)
        settings = profile.current()
        height, width = settings.segmentation_size
        assert height / width == 3 / 4, "as most pictures of ISIC 2018"
        assert 1 <= settings.segmentation_at_once <= settings.segmentation_batch_size
        assert settings.segmentation_batch_size % settings.segmentation_at_once == 0, "pieces of one size"
    assert settings.name == "full" and settings.segmentation_epochs == 100


def test_folders_are_absolute_or_relative_to_the_project(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    monkeypatch.setenv("ISIC_RUNS", "build/my-runs")
    settings = profile.current()
    assert settings.data == tmp_path and settings.data_name == tmp_path.name
    assert settings.runs == profile.PROJECT / "build" / "my-runs"
    monkeypatch.setenv("ISIC_DATA", "isic_utils")
    assert profile.current().data == profile.PROJECT / "isic_utils"


def test_home_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ISIC_RUNS", "~/runs")
    assert profile.current().runs == tmp_path / "runs"


def test_empty_variables_count_as_unset(monkeypatch):
    expected = profile.current()
    for variable in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"):
        monkeypatch.setenv(variable, "")
    assert profile.current() == expected


def test_the_decoded_pictures_are_kept_in_the_project_and_not_with_the_data(monkeypatch, tmp_path):
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    settings = profile.current()
    assert settings.cache.is_relative_to(profile.PROJECT) and not settings.cache.is_relative_to(settings.data)


def test_synthetic_is_what_the_folder_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    assert not profile.current().synthetic
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    assert profile.current().synthetic


def test_a_profile_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.current().epochs = 1


@pytest.mark.parametrize(
    "variable, value, says",
    [
        ("ISIC_PROFILE", "huge", "set it to one of laptop, lab, full"),
        ("ISIC_PROFILE", "Laptop ", "set it to one of laptop, lab, full"),
        ("ISIC_DATA", "no/such/folder", "set it to the folder that holds ISIC_2019_Training_GroundTruth.csv"),
        ("ISIC_DATA", "pyproject.toml", "set it to the folder that holds ISIC_2019_Training_GroundTruth.csv"),
    ],
)
def test_values_that_make_no_sense(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(IsicError) as caught:
        profile.current()
    is_one_clear_message(caught.value, variable, repr(value), says)
