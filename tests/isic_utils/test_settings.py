"""The three environment variables and what they choose."""

import dataclasses

import pytest
from archives import is_one_clear_message

from isic_utils.errors import IsicError
from isic_utils.settings import PROFILES, PROJECT, load_settings


def test_without_variables_a_laptop_works_on_the_sample():
    settings = load_settings()
    assert settings.profile == "laptop" and settings.narrow
    assert settings.data == PROJECT / "data" / "sample" and settings.data_name == "sample"
    assert settings.runs == PROJECT / "runs"
    assert (PROJECT / "isic_utils").is_dir()


def test_full_has_the_thesis_sizes(monkeypatch):
    monkeypatch.setenv("ISIC_PROFILE", "full")
    settings = load_settings()
    assert settings.image_size == 256 and settings.segmentation_size == (768, 1024) and settings.epochs == 100
    assert not settings.narrow and settings.pretrained is None


def test_lab_is_pretrained_on_128_pixels(monkeypatch):
    monkeypatch.setenv("ISIC_PROFILE", "lab")
    settings = load_settings()
    assert settings.image_size == 128 and not settings.narrow and settings.pretrained


def test_settings_for_masks_fit_together(monkeypatch):
    for name in PROFILES:
        monkeypatch.setenv("ISIC_PROFILE", name)
        settings = load_settings()
        height, width = settings.segmentation_size
        assert height / width == 3 / 4, "as most images of ISIC 2018"
        assert 1 <= settings.segmentation_micro_batch_size <= settings.segmentation_batch_size
        assert settings.segmentation_batch_size % settings.segmentation_micro_batch_size == 0, "pieces of one size"
    assert settings.profile == "full" and settings.segmentation_epochs == 100


def test_folders_are_absolute_or_relative_to_the_project(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    monkeypatch.setenv("ISIC_RUNS", "build/my-runs")
    settings = load_settings()
    assert settings.data == tmp_path and settings.data_name == tmp_path.name
    assert settings.runs == PROJECT / "build" / "my-runs"
    monkeypatch.setenv("ISIC_DATA", "isic_utils")
    assert load_settings().data == PROJECT / "isic_utils"


def test_home_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ISIC_RUNS", "~/runs")
    assert load_settings().runs == tmp_path / "runs"


def test_empty_variables_count_as_unset(monkeypatch):
    expected = load_settings()
    for variable in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"):
        monkeypatch.setenv(variable, "")
    assert load_settings() == expected


def test_the_decoded_images_are_kept_in_the_project_and_not_with_the_data(monkeypatch, tmp_path):
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    settings = load_settings()
    assert settings.cache.is_relative_to(PROJECT) and not settings.cache.is_relative_to(settings.data)


def test_synthetic_is_what_the_folder_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    assert not load_settings().synthetic
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    assert load_settings().synthetic


def test_a_profile_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().epochs = 1


@pytest.mark.parametrize(
    "variable, value, says",
    [
        ("ISIC_PROFILE", "huge", "set it to one of laptop, lab, full"),
        ("ISIC_PROFILE", "Laptop ", "set it to one of laptop, lab, full"),
        ("ISIC_DATA", "no/such/folder", "correct or unset it"),
        ("ISIC_DATA", "pyproject.toml", "correct or unset it"),
    ],
)
def test_values_that_make_no_sense(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(IsicError) as caught:
        load_settings()
    is_one_clear_message(caught.value, variable, repr(value), says)
