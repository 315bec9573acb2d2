"""``python -m isic_utils doctor``: what it finds out, that nothing breaks it, and that it names nobody."""

import importlib.metadata
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from archives import draw_2018, draw_2019

from isic_course import doctor, self_test
from isic_utils import settings as profile
from isic_utils.datasets import tables
from isic_utils.training import fit as training


def quick_report(capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """The exit status and the report without the self-test."""
    status = doctor.main(["--quick"])
    return status, capsys.readouterr().out


def problems(report: str) -> list[str]:
    """The sentences of a verdict that something does not work."""
    verdict = report.split("## Verdict\n\n")[1]
    assert verdict.startswith("**This does not work:**\n"), verdict
    return [line.removeprefix("- ") for line in verdict.splitlines()[2:]]


def test_everything_works_here(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ISIC_DATA", str(draw_2018(draw_2019(tmp_path, 9), 3)))
    assert doctor.main([]) == 0
    report = capsys.readouterr().out
    assert report.endswith("## Verdict\n\n**Everything works.**\n")
    assert f"| torch | {importlib.metadata.version('torch')} |" in report
    assert "| the course trains on | " in report and f"{os.cpu_count()} cores" in report
    assert "| profile | laptop |" in report and "| kind | photographed |" in report
    assert "| ISIC 2019, to classify | 9 pictures: 2 MEL, 1 NV, 1 BCC, " in report
    assert "| ISIC 2018, to segment | 3 pictures with masks |" in report
    assert all(f"| {step} | ok, " in report for step in self_test.STEPS)


def test_the_report_is_markdown_tables(capsys):
    _, report = quick_report(capsys)
    sections = report.split("\n## ")[1:-1]
    assert [section.splitlines()[0] for section in sections] == ["Versions", "Device", "Settings", "Data", "Disk"]
    for section in sections:
        blank, head, line, *rows = section.splitlines()[1:]
        assert (blank, head, line) == ("", "| | |", "|---|---|")
        assert rows and all(row.count(" | ") == 1 for row in rows if row), section


def test_home_and_user_are_not_named(capsys, monkeypatch, tmp_path):
    home, disk = tmp_path / "homes" / "maria", tmp_path / "media" / "maria" / "photos"
    draw_2019(home / "isic")
    disk.mkdir(parents=True)
    for variable, value in {"HOME": home, "USERPROFILE": home, "LOGNAME": "maria", "ISIC_RUNS": disk}.items():
        monkeypatch.setenv(variable, str(value))
    monkeypatch.setenv("ISIC_DATA", str(home / "isic"))
    _, report = quick_report(capsys)
    assert "maria" not in report
    assert f"| data | ~{os.sep}isic |" in report and "<user>" in report


def test_a_home_that_only_begins_alike_is_another(monkeypatch):
    monkeypatch.setenv("HOME", "/homes/ana")
    monkeypatch.setenv("USERPROFILE", "/homes/ana")
    monkeypatch.setenv("LOGNAME", "ana")
    assert doctor.anonymous("/homes/anatomy and /homes/ana/x") == "/homes/anatomy and ~/x"
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("USERPROFILE", "/")
    assert doctor.anonymous("/data/x") == "/data/x"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ISIC_PROFILE", "huge", "set it to one of laptop, lab, full"),
        ("ISIC_DATA", "no/such/folder", "set it to the folder that holds ISIC_2019_Training_GroundTruth.csv"),
        ("ISIC_DATA", "tests", "There are no pictures in"),
    ],
)
def test_broken_settings_are_reported_once(variable, value, says, capsys, monkeypatch):
    monkeypatch.setenv(variable, value)
    status, report = quick_report(capsys)
    assert status == 1
    (problem,) = problems(report)
    assert says in problem
    assert f"| {variable} | {value} |" in report


def test_a_damaged_table_is_reported_and_the_other_task_found(capsys, monkeypatch, tmp_path):
    draw_2018(draw_2019(tmp_path), 3)
    (tmp_path / tables.GROUND_TRUTH_2019).write_text("image,MEL\nISIC_0,1", encoding="utf-8")
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    status, report = quick_report(capsys)
    (problem,) = problems(report)
    assert status == 1 and tables.GROUND_TRUTH_2019 in problem
    assert "3 pictures with masks" in report


def test_what_a_partial_download_lacks_is_told_and_no_problem(capsys, monkeypatch, tmp_path):
    draw_2019(tmp_path, 9)
    for number in range(5):
        (tmp_path / tables.PICTURES_2019 / f"ISIC_{number:07d}.jpg").unlink()
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    status, report = quick_report(capsys)
    assert status == 0
    assert "| ISIC 2019, to classify | 4 pictures: " in report and "4 of 9" in report
    assert "| ISIC 2018, to segment | nothing there |" in report


def test_decoded_pictures_and_those_left_out_are_counted(capsys, monkeypatch, tmp_path):
    store = tmp_path / "data" / "cache" / "64px-0123456789abcdef"
    store.mkdir(parents=True)
    (store / "index.json").write_text('{"images": ["a", "b"], "left_out": [["c", "c.jpg", "is empty"]]}')
    (store / "pixels.bin").write_bytes(bytes(3_000_000))
    (tmp_path / "pyproject.toml").write_bytes((profile.PROJECT / "pyproject.toml").read_bytes())
    monkeypatch.setattr(profile, "PROJECT", tmp_path)
    monkeypatch.setenv("ISIC_DATA", str(draw_2019(tmp_path / "isic")))
    _, report = quick_report(capsys)
    assert "| decoded, 64px | 2 pictures, 1 left out, 3 MB |" in report


def test_the_sample_that_is_not_drawn_yet_is_no_problem(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(profile, "SAMPLE", tmp_path / "sample")
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
    assert status == 1
    assert old.startswith("pandas is 0.1, and the course needs >=")
    assert missing.startswith("The package tqdm is missing: run `make notebooks`")


def test_it_runs_where_pytorch_cannot_be_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so is broken')", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(profile.PROJECT)])}
    command = [sys.executable, "-m", "isic_utils", "doctor"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "A package is missing or broken (libtorch.so is broken): run" in "\n".join(problems(result.stdout))


def test_an_unforeseen_failure_becomes_a_line(capsys, monkeypatch):
    def broken():
        raise RuntimeError("no | such\nthing")

    monkeypatch.setattr(doctor, "processor", broken)
    status, report = quick_report(capsys)
    assert status == 1 and "| failed | RuntimeError: no \\| such thing |" in report
    assert "Device could not be found out" in problems(report)[0]
    assert "## Settings" in report, "the sections after it are missing"


def test_a_full_disk_and_a_read_only_one(capsys, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e8))
    assert all("Only 0.1 GB are free" in problem for problem in problems(quick_report(capsys)[1]))
    monkeypatch.undo()

    def refused(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    said = problems(quick_report(capsys)[1])
    assert len(said) == 3 and "set ISIC_RUNS to a folder on another disk" in said[1]
    assert all("(Read-only file system)" in problem for problem in said)


def test_a_graphics_card_and_its_driver(capsys, monkeypatch):
    card = SimpleNamespace(name="GTX 1080", total_memory=8.5e9)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    answers = {"--query-gpu=driver_version": "535.1", "--query-gpu=name": "GTX 1080"}
    monkeypatch.setattr(doctor, "answer_of", lambda program, asked, *_: answers.get(asked, ""))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, report = quick_report(capsys)
    assert "| graphics card 0 | GTX 1080, 8.5 GB, driver 535.1, CUDA " in report
    assert status == 1 and "There is a graphics card (GTX 1080), but this PyTorch" in problems(report)[0]


# the self-test


def outcomes() -> dict[str, str]:
    """What the self-test says of each step: "" if it went well."""
    return {name: problem for name, _, problem in self_test.run()}


@pytest.fixture
def no_kernel(monkeypatch):
    """Without the step that takes seconds."""
    steps = {name: step for name, step in self_test.STEPS.items() if step is not self_test.start_a_kernel}
    monkeypatch.setattr(self_test, "STEPS", steps)


def test_other_seeds_give_other_answers_and_that_is_seen(monkeypatch, no_kernel):
    seeds = iter([1, 2])
    real = training.fit
    monkeypatch.setattr(training, "fit", lambda *given, **named: real(*given, **named | {"seed": next(seeds)}))
    said = outcomes()
    assert "Two runs with the same seed gave different answers" in said["train twice to the same result"]
    assert "load a checkpoint and predict" not in said, "there is nothing to load"
    assert said["draw a figure"] == ""


def test_a_checkpoint_that_answers_otherwise_is_seen(monkeypatch, no_kernel):
    real = training.load

    def load(run):
        model, mixed, device = real(run)
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, 0.3)
        return model, mixed, device

    monkeypatch.setattr(training, "load", load)
    assert "answers otherwise than before" in outcomes()["load a checkpoint and predict"]


def test_a_kernel_of_another_python_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(self_test, "STEPS", {"start": self_test.start_a_kernel})
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert "Notebooks would run in another Python" in outcomes()["start"]


def test_nothing_of_it_stays(monkeypatch, no_kernel, tmp_path):
    monkeypatch.setattr(self_test.tempfile, "tempdir", str(tmp_path))
    assert set(outcomes().values()) == {""}
    assert list(tmp_path.iterdir()) == []
