"""What `tunery calibrate` predicts for the catalog."""

import json

import pytest

from tunery.cli import main
from tunery.model.backbones.checked_models import CATALOG

MEMORY = 2 * 10**9


def test_what_fits_follows_from_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", "minilm", "openmed-chemical-33m", "--max-length", "64", "--memory", "2GB", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--device", "cuda"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    full, lora, *unknown = told["models"]
    assert (told["memory"], told["device"]) == (MEMORY, "cuda")
    for row in (full, lora):
        rows, each = row["micro_batch_tokens"] // 64, 64 * row["bytes_per_token"]
        taken = row["weights"] + row["fixed"] + rows * each
        # beside its rows a pass makes a gradient of the table of embeddings once more than it keeps
        assert 0.95 * MEMORY - row["weights"] - 2 * each < taken <= 0.95 * MEMORY
    assert full["fixed"] >= 12 * (CATALOG["minilm"].parameters or 0) and lora["fixed"] < full["fixed"] / 50
    assert lora["parameters"] > full["parameters"] and lora["bytes_per_token"] < full["bytes_per_token"]
    assert all("`hf download OpenMed/" in row["reason"] and row["weights"] is None for row in unknown)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["nope"], "takes aliases of the catalog, but got 'nope'; `tunery models` lists them"),
        (["minilm", "--memory", "much"], "--memory must be a size such as 24GB, but got 'much'"),
        (["minilm", "--methods", "lorra"], "unknown choice 'lorra'"),
    ],
)
def test_what_means_nothing_is_refused(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *command])
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.slow
def test_every_shape_of_the_catalog_is_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["calibrate", "--memory", "24GB", "--device", "cuda", "--json"])
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["model"] for row in rows] == [alias for alias in CATALOG for _ in range(2)]
    for row in rows:
        assert (row["micro_batch_tokens"] is None) == (CATALOG[row["model"]].shape is None)
        assert row["parameters"] is None or row["parameters"] > (CATALOG[row["model"]].parameters or 0)
