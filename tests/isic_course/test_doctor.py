"""``python -m isic_course doctor``: what it finds out, that nothing breaks it, and that it names nobody."""

import dataclasses
import importlib.metadata
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from archives import draw_2018, draw_2019
from torch.utils import collect_env

from isic_course import doctor, gpu, self_test
from isic_course.__main__ import main
from isic_utils import settings, training
from isic_utils.datasets import tables
from isic_utils.errors import IsicError
from isic_utils.training import Run


@pytest.fixture(autouse=True)
def quick_environment(monkeypatch):
    """What PyTorch says of the machine takes seconds to find out."""
    names = ("os", "torch_version", "cuda_compiled_version", "nvidia_driver_version", "nvidia_gpu_models")
    monkeypatch.setattr(collect_env, "get_env_info", lambda: SimpleNamespace(**dict.fromkeys(names)))


def quick_report(capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """The exit status and the report without the self-test."""
    status = main(["doctor", "--quick"])
    return status, capsys.readouterr().out


def problems(report: str) -> list[str]:
    """The sentences of a verdict that something does not work."""
    verdict = report.split("## Verdict\n\n")[1]
    assert verdict.startswith("**This does not work** (more in docs/troubleshooting.md):\n"), verdict
    return [line.removeprefix("- ") for line in verdict.splitlines()[2:]]


@pytest.mark.slow
def test_everything_works_here(capsys, monkeypatch, tmp_path):
    monkeypatch.undo()  # with PyTorch's own report
    monkeypatch.setenv("ISIC_DATA", str(draw_2018(draw_2019(tmp_path, 9), 3)))
    assert main(["doctor"]) == 0
    report = capsys.readouterr().out
    assert report.endswith("## Verdict\n\n**Everything works.**\n")
    sections = report.split("\n## ")[1:-1]
    assert [section.splitlines()[0] for section in sections] == [
        "Packages",
        "Device",
        "Variables",
        "Data",
        "Disk",
        "Self-test",
    ]
    for section in sections:
        blank, head, line, *rows = section.splitlines()[1:]
        assert (blank, head, line) == ("", "| | |", "|---|---|")
        assert rows and all(row.count(" | ") == 1 for row in rows if row), section
    assert f"| torch | {importlib.metadata.version('torch')} |" in report
    assert f"{os.cpu_count()} cores" in report and f"| torch version | {torch.__version__} |" in report
    assert "| profile | laptop |" in report and "| kind | real images |" in report
    assert "9 images, 2 MEL, 1 NV, 1 BCC, " in report and "3 images" in report
    assert "| train and predict | ok, " in report and "| kernel | ok, " in report


def test_home_and_user_are_not_named(capsys, monkeypatch, tmp_path):
    home, disk = tmp_path / "homes" / "maria", tmp_path / "media" / "maria" / "images"
    draw_2019(home / "isic")
    disk.mkdir(parents=True)
    for variable, value in {"HOME": home, "USERPROFILE": home, "LOGNAME": "maria", "ISIC_RUNS": disk}.items():
        monkeypatch.setenv(variable, str(value))
    monkeypatch.setenv("ISIC_DATA", str(home / "isic"))
    _, report = quick_report(capsys)
    assert "maria" not in report
    assert f"| data | ~{os.sep}isic |" in report and "<user>" in report


def test_a_home_that_only_begins_alike_is_another(monkeypatch, capsys):
    for home, text, said in [
        ("/homes/ana", "/homes/anatomy and /homes/ana/x", "/homes/anatomy and ~/x"),
        ("/", "/data/x", "/data/x"),
    ]:
        for variable, value in {"HOME": home, "USERPROFILE": home, "LOGNAME": "ana"}.items():
            monkeypatch.setenv(variable, value)
        doctor.say(text)
        assert capsys.readouterr().out == said + "\n"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ISIC_PROFILE", "huge", "laptop, lab, full"),
        ("ISIC_DATA", "no/such/folder", "no/such/folder"),
        ("ISIC_DATA", "tests", "ISIC_2019_Training_GroundTruth.csv is missing"),
    ],
)
def test_broken_settings_are_reported_once(variable, value, says, capsys, monkeypatch):
    monkeypatch.setenv(variable, value)
    status, report = quick_report(capsys)
    assert status == 1
    (problem,) = problems(report)
    assert says in problem and f"| {variable} | {value} |" in report


def test_a_damaged_table_is_reported_and_the_other_task_found(capsys, monkeypatch, tmp_path):
    draw_2018(draw_2019(tmp_path), 3)
    (tmp_path / tables.GROUND_TRUTH_2019).write_text("image,MEL\nISIC_0,1", encoding="utf-8")
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    status, report = quick_report(capsys)
    (problem,) = problems(report)
    assert status == 1 and tables.GROUND_TRUTH_2019 in problem and "| ISIC2018_Task1 | 3 images" in report
    assert "| ISIC_2019 | not usable |" in report


def test_what_a_partial_download_lacks_is_told_and_no_problem(capsys, monkeypatch, tmp_path):
    draw_2019(tmp_path, 9)
    for number in range(5):
        (tmp_path / tables.IMAGES_2019 / f"ISIC_{number:07d}.jpg").unlink()
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    status, report = quick_report(capsys)
    assert status == 0 and "4 images, " in report and "4 of 9" in report
    assert "ISIC2018" not in report


def test_the_sample_that_is_not_drawn_yet_is_no_problem(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "SAMPLE", tmp_path / "sample")
    status, report = quick_report(capsys)
    assert status == 0 and "not drawn yet" in report


def test_missing_and_old_packages_are_named(capsys, monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tqdm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "pandas" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    status, report = quick_report(capsys)
    old, missing = problems(report)
    assert status == 1 and old.startswith("pandas is 0.1, and the course needs >=")
    assert missing.startswith("The package tqdm is missing: run `make notebooks`")


def test_it_runs_where_pytorch_cannot_be_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so is broken')", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(settings.PROJECT)])}
    command = [sys.executable, "-m", "isic_course", "doctor"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "libtorch.so is broken" in problems(result.stdout)[0]


def test_an_unforeseen_failure_becomes_a_line(capsys, monkeypatch):
    def broken():
        raise RuntimeError("no | such\nthing")

    monkeypatch.setattr(collect_env, "get_env_info", broken)
    status, report = quick_report(capsys)
    assert status == 1 and "| failed | no \\| such thing |" in report
    assert "device cannot be found out" in problems(report)[0]
    assert "## Variables" in report, "the sections after it are missing"


def test_a_full_disk_and_a_read_only_one(capsys, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e8))
    assert all("Only 0.1 GB are free" in problem for problem in problems(quick_report(capsys)[1]))

    def refused(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    said = problems(quick_report(capsys)[1])
    assert len(said) == 3 and "set ISIC_RUNS to a folder on another disk" in said[1]
    assert all("(Read-only file system)" in problem for problem in said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch can use the GPU of this machine")
def test_a_gpu_that_pytorch_cannot_use_is_a_problem(capsys, monkeypatch):
    found = collect_env.get_env_info()
    found.nvidia_gpu_models, found.nvidia_driver_version = "GTX 1080", "535.1"
    monkeypatch.setattr(collect_env, "get_env_info", lambda: found)
    status, report = quick_report(capsys)
    assert "| nvidia gpu models | GTX 1080 |" in report and "| nvidia driver version | 535.1 |" in report
    assert status == 1 and "cannot use this GPU" in problems(report)[0]


TODAY = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # without PTX


@pytest.mark.parametrize(
    ("capability", "built_for", "says"),
    [
        ((6, 1), TODAY, "6.1): install the one for CUDA 12.6, which has."),
        ((6, 1), ["sm_50", "sm_60", "sm_70"], ""),
        ((6, 0), ["sm_61"], "CUDA 12.6"),  # a higher minor number
        ((8, 6), TODAY, ""),
        ((8, 9), TODAY, ""),
        ((8, 9), ["sm_75", "compute_80"], ""),
        ((9, 0), ["sm_75", "sm_86"], "update PyTorch"),
        ((12, 0), TODAY, ""),
        ((12, 0), TODAY[:4], "12.0): update PyTorch: the newest one has."),
        ((12, 0), [*TODAY[:4], "compute_90"], ""),
        ((9, 0), ["sm_90a"], ""),
        ((3, 5), TODAY, "hide the card"),
        ((8, 6), [], "update PyTorch"),
        ((7, 0), [], "CUDA 12.6"),
    ],
)
def test_a_card_without_code_in_this_build_is_told_which_build_has_it(capability, built_for, says):
    if says:
        with pytest.raises(IsicError, match=re.escape(says)):
            gpu.check_build(capability, built_for)
    else:
        gpu.check_build(capability, built_for)


def test_the_doctor_compares_card_and_build(capsys, monkeypatch):
    card = SimpleNamespace(device=torch.device("cuda"), mixed_precision="fp16")
    monkeypatch.setattr(training, "get_accelerator", lambda: card)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: TODAY)
    status, report = quick_report(capsys)
    assert status == 1 and "| training | cuda, mixed precision: fp16 |" in report
    assert "no code for this card (compute capability 6.1)" in problems(report)[0]
    monkeypatch.setattr(torch.version, "cuda", None)  # AMD's
    assert quick_report(capsys)[0] == 0


# the self-test


def test_nothing_of_it_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(self_test.tempfile, "tempdir", str(tmp_path))
    self_test.train_and_predict()
    assert list(tmp_path.iterdir()) == []


def test_different_predictions_of_one_seed_are_seen(monkeypatch):
    real, seeds = self_test.fit, iter([1, 2])

    def fit(config, *arguments, **options):
        return real(dataclasses.replace(config, seed=next(seeds)), *arguments, **options)

    monkeypatch.setattr(self_test, "fit", fit)
    with pytest.raises(IsicError, match="Two runs with the same seed gave different predictions"):
        self_test.train_and_predict()


def test_a_checkpoint_that_predicts_otherwise_is_seen(monkeypatch):
    real = Run.load_model

    def load_model(run, checkpoint=None):
        model = real(run, checkpoint)
        *_, bias = model.parameters()
        bias.data[0] += 3  # of the first class
        return model

    monkeypatch.setattr(Run, "load_model", load_model)
    with pytest.raises(IsicError, match="predicts otherwise than before"):
        self_test.train_and_predict()


def test_a_kernel_of_another_python_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(ValueError, match="another Python"):
        self_test.start_a_kernel()
