"""benchmarks/gpu.py on a CPU: every row is measured, and what the time does not allow is named."""

from __future__ import annotations

from typing import Any

import pytest

ROWS = [
    ("training", "crossforge, GroupLoss", "bf16"),
    ("training", "CrossEncoderTrainer, ListNetLoss", "bf16"),
    ("scoring", "crossforge torch, 1,024 tokens a batch", "fp32"),
    ("scoring", "crossforge torch-bf16, 1,024 tokens a batch", "bf16"),
    ("scoring", "crossforge torch-fp16, 1,024 tokens a batch", "fp16"),
    ("scoring", "CrossEncoder.predict, 32 pairs a batch", "fp32"),
    ("scoring", "CrossEncoder.predict, 32 pairs a batch", "bf16"),
]


@pytest.fixture
def gpu(script: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, told that there is no GPU."""
    module = script("gpu")
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    return module


def run(gpu: Any, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py", "--size", "tiny", "--pairs", "4", "--groups", "1", *options])
    gpu.main()


def cells(out: str) -> list[list[str]]:
    """The table's rows, without its head."""
    return [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("|")][2:]


@pytest.mark.slow
def test_every_path_is_measured(gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(gpu, monkeypatch, "--seconds", "0")
    out = capsys.readouterr().out
    assert "Not measured" not in out
    found = cells(out)
    assert [tuple(row[:3]) for row in found] == ROWS
    assert all(float(row[3]) > 0 and float(row[4]) > 0 and row[5] == "–" for row in found)


def test_rows_that_the_limit_excludes_are_named(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(gpu, monkeypatch, "--seconds", "30", "--limit", "20")
    out = capsys.readouterr().out
    assert not cells(out)
    missing = out.partition("Not measured:\n\n")[2].splitlines()
    assert [line.removeprefix("- ").split(": ")[0] for line in missing] == [", ".join(row) for row in ROWS]


def test_a_row_ends_when_the_time_is_up(gpu: Any) -> None:
    with pytest.raises(TimeoutError), gpu._at_most(0.05):
        while True:
            pass


def test_work_and_peak_give_the_share_of_the_peak(gpu: Any) -> None:
    row = gpu.Row(gpu.TRAINING, "a path", gpu.BF16, lambda: None)
    line = gpu._line(row, gpu.Work(seconds=2.0, pairs=100, tokens=10_000), 10**9, "NVIDIA A100-SXM4-80GB")
    assert line == "| training | a path | bf16 | 50.0 | 30 | 9.6% |"


@pytest.mark.parametrize(
    ("card", "half", "single"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5, 67),
        ("NVIDIA H100 PCIe", 756, 51),
        ("NVIDIA H200", 989.5, 67),
        ("NVIDIA A100-PCIE-40GB", 312, 19.5),
        ("NVIDIA L4", 121, 30.3),
        ("NVIDIA L40S", 362, 91.6),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, None),
        ("NVIDIA L40", None, None),
    ],
)
def test_a_card_is_known_by_its_name(gpu: Any, card: str, half: float | None, single: float | None) -> None:
    assert gpu.peak_tflops(card, gpu.BF16) == gpu.peak_tflops(card, gpu.FP16) == half
    assert gpu.peak_tflops(card, gpu.FP32) == single
