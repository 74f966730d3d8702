"""A comparison: fair, balanced, thrifty, hard to break, and honest about what it found."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunery
from fake_cells import Fake
from tiny_runs import wait_for, write_rows
from tunery import load
from tunery.cli import show
from tunery.comparison.methods import VARIANTS, method_configs, own_method
from tunery.errors import (
    ConfigError,
    DataError,
    FolderError,
    Interrupted,
    RequestError,
    RunError,
    StudyFailed,
)
from tunery.execution.in_process import InThisProcess
from tunery.execution.runner import Job, Outcome, Prune, Stop
from tunery.report import comparison_html
from tunery.schema import RunConfig
from tunery.schema.reading.fields import members
from tunery.schema.results.comparison import Cell, ComparisonResult
from tunery.store.disk.files import size, write_text
from tunery.store.disk.ownership import aside
from tunery.store.disk.run_lock import own
from tunery.train.setup.prepare import prepare


def document(model: Path, folder: Path, **sections: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": write_rows(folder),
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "optim": {"lr": 3e-3},
        "train": {"epochs": 2, "batch_size": 8},
        **sections,
    }


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.cells: list[Cell] = []
        self.said: list[str] = []

    def started(self, title: str, *, number: int, total: int) -> None:
        self.begun.append((number, total))

    def ended(self, record: Cell) -> None:
        self.cells.append(record)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def given(tiny_bert: Path, tmp_path: Path) -> dict[str, Any]:
    return document(tiny_bert, tmp_path)


def write_without_pages(result: ComparisonResult, out: Path) -> None:
    """Drawing takes a second; the report's own tests draw, and so do the tests with real processes here."""
    write_text(out / "comparison.json", result.model_dump_json(indent=1))


compare = partial(tunery.compare, write=write_without_pages)


def cut(file: str, rows: int) -> None:
    path = Path(file)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:rows]))


def problems(caught: pytest.ExceptionInfo[ConfigError]) -> dict[str, str]:
    return {problem.path: problem.message for problem in caught.value.problems}


def test_every_method_of_the_schema_has_a_name() -> None:
    assert set(members(RunConfig.model_fields["peft"])) - {"peft"} <= set(VARIANTS)


def test_each_method_trains_with_its_own_defaults(given: dict[str, Any]) -> None:
    file = {**given, "peft": {"method": "lora", "r": 32}, "optim": {"lr": 7e-4, "weight_decay": 0.05}}
    names = ["none", "lora", "qlora", "houlsby_parallel", "head_only", "VeraConfig"]
    configs = method_configs(file, names).by_method
    assert [(name, config.lr) for name, config in configs.items()] == [
        ("none", 5e-5),
        ("lora", 7e-4),
        ("qlora", 1e-3),
        ("houlsby_parallel", 1e-3),
        ("head_only", 1e-3),
        ("VeraConfig", 1e-3),
    ]
    assert {config.optim.weight_decay for config in configs.values()} == {0.05}
    dumped = {name: config.model_dump(mode="json") for name, config in configs.items()}
    assert dumped["lora"]["peft"]["r"] == 32 and dumped["qlora"]["peft"]["r"] == 8
    assert dumped["qlora"]["model"]["quantization"] == "nf4" and dumped["lora"]["model"]["quantization"] is None
    assert dumped["houlsby_parallel"]["peft"]["parallel"] is True
    assert dumped["head_only"]["freeze"]["strategy"] == "freeze_encoder"
    assert dumped["VeraConfig"]["peft"]["config"] == "VeraConfig"


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({}, "none"),
        ({"peft": "lora"}, "lora"),
        ({"peft": {"r": 4, "method": "lora"}, "model": {"quantization": "nf4"}}, "qlora"),
        ({"peft": "dora", "model": {"quantization": "nf4"}}, "dora"),
        ({"freeze": "freeze_encoder"}, "head_only"),
        ({"freeze": {"strategy": "freeze_layers_n", "n": 2}}, "none"),
        ({"peft": {"method": "peft", "config": "VeraConfig"}}, "VeraConfig"),
    ],
)
def test_the_file_has_a_method_of_its_own(sections: dict[str, Any], name: str) -> None:
    assert own_method(sections) == name


def test_overrides_reach_whom_they_are_for(given: dict[str, Any]) -> None:
    overrides = ["peft.r=4", "optim.lr=2e-3", "ia3:optim.lr=5e-3", "train.epochs=1", "lora:train.epochs=3"]
    configs = method_configs(given, ["none", "lora", "dora", "ia3"], overrides=overrides).by_method
    assert {name: config.lr for name, config in configs.items()} == {
        "none": 2e-3,
        "lora": 2e-3,
        "dora": 2e-3,
        "ia3": 5e-3,
    }
    assert {name: config.train.epochs for name, config in configs.items()} == {
        "none": 1,
        "lora": 3,
        "dora": 1,
        "ia3": 1,
    }
    assert [getattr(config.peft, "r", None) for config in configs.values()] == [None, 4, 4, None]


@pytest.mark.parametrize(
    ("methods", "override", "path", "message"),
    [
        (["lora"], "peft.rr=4", "peft.rr", "no method that is compared has this key; did you mean 'r'?"),
        (["none"], "peft.r=4", "peft.r", "none of them has a key in 'peft'"),
        (["none", "lora"], "lroa:peft.r=4", "lroa:peft.r", "did you mean 'lora'?"),
        (["none", "lora"], "none:peft.r=4", "full: peft.r", "belongs to"),
        (["none", "lora"], "peft=ia3", "peft", "named by --methods"),
        (["none", "lora"], "lora:seed=4", "lora:seed", "leave the prefix out"),
        (["qlora", "lora"], "qlora:model.quantization=int8", "qlora:model.quantization", "what makes it 'qlora'"),
        (["none", "lora"], "model.quantization=nf4", "full: model.quantization", "cannot be trained"),
        (["none", "lora"], "lora:optim.lr=[1e-3, 1e-4]", "lora: optim.lr", "tunery search"),
        (["none", "lora"], "optim.lr={low: 1e-4, high: 1e-3}", "optim.lr", "tunery search"),
        (["none", "lroa"], "train.epochs=1", "methods", "unknown method 'lroa'; did you mean 'lora'?"),
        (["none", "VerraConfig"], "train.epochs=1", "methods", "did you mean 'VeraConfig'?"),
        (["none", "none"], "train.epochs=1", "methods", "2 times"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(
    given: dict[str, Any], tmp_path: Path, methods: list[str], override: str, path: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compare(given, methods=methods, overrides=[override], out=tmp_path / "out", runner=Fake())
    assert message in problems(caught)[path]
    assert len(caught.value.problems) == 1 and not (tmp_path / "out").exists()


def test_all_mistakes_are_told_at_once(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        method_configs(
            {**given, "trian": {}}, ["lora", "ia3"], overrides=["lora:peft.r=0", "ia3:peft.ff=1", "train.epochs=0"]
        )
    assert set(problems(caught)) == {"trian", "train.epochs", "lora: peft.r", "ia3: peft.ff"}


def test_full_fine_tuning_is_asked_for_by_its_name_and_never_called_none(
    given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, watch = tmp_path / "real", Watch()
    notes = {"none": ("the loss was not finite in one step",)}
    asked = {"methods": ["full", "lora"], "baseline": "full", "overrides": ["full:optim.lr=1e-2"]}
    result = compare(given, seeds=2, out=out, runner=Fake(notes=notes), observer=watch, **asked)
    assert (result.baseline, [method.method for method in result.methods]) == ("none", ["none", "lora"])
    assert {path.name for path in (out / "cells").iterdir()} == {"none", "lora"}
    assert result.cells[0].result is not None and result.cells[0].result.config["optim"]["lr"] == 1e-2
    again = Fake()
    assert compare(given, **{**asked, "methods": ["none", "lora"]}, seeds=2, out=out, runner=again) == result
    assert not again.trained
    show.comparison(result, out, as_json=False)
    for text in (comparison_html(result), capsys.readouterr().out, *result.verdicts, *watch.said):
        words = re.sub(
            r"<style.*?</style>|<script.*?</script>|<meta[^>]*>|[\w-]+[=:]\s*\"?none\b", "", text, flags=re.DOTALL
        )
        assert not re.search(r"\bnone\b", words)
    assert "full fine-tuning" in comparison_html(result)


def test_the_baseline_is_one_of_the_methods_and_seeds_are_counted(given: dict[str, Any], tmp_path: Path) -> None:
    for wrong, message in ({"baseline": "ful"}, "did you mean 'full'"), ({"seeds": 0}, "seeds=0"):
        with pytest.raises(ConfigError, match=message):
            compare(given, methods=["none", "lora"], out=tmp_path / "out", runner=Fake(), **wrong)  # type: ignore[arg-type]


def test_every_method_is_compared_with_each_value_of_another_key(given: dict[str, Any], tmp_path: Path) -> None:
    fake, model = Fake(score=lambda method, seed: 0.5), given["model"]["name"]
    copy = shutil.copytree(model, tmp_path / "a copy")
    over = [f"model.name={model},{copy}", "model.max_length=16,32"]
    result = compare(given, methods=["full", "tfidf"], over=over, seeds=1, out=tmp_path / "out", runner=fake)
    names = [
        f"{method} model.name={name} model.max_length={length}"
        for name in (model, copy)
        for length in (16, 32)
        for method in ("none", "tfidf")
    ]
    assert [method.method for method in result.methods] == names and result.baseline == names[0]
    configs = {cell.method: cell.result.config for cell in result.cells if cell.result}
    assert configs[names[2]]["model"]["max_length"] == 32 and configs[names[4]]["model"]["name"] == str(copy)
    assert len({cell.folder for cell in result.cells}) == 8
    assert all((tmp_path / "out" / cell.folder / "result.json").exists() for cell in result.cells)
    assert f"full fine-tuning model.name={model}" in comparison_html(result)
    wanted = names[1]
    with pytest.raises(ConfigError, match="the baseline must be one of the methods"):
        compare(given, methods=["full"], over=over, baseline="full", out=tmp_path / "other", runner=fake)
    again = compare(
        given, methods=["full", "tfidf"], over=over, seeds=1, baseline=wanted, out=tmp_path / "out", runner=fake
    )
    assert again.baseline == wanted and len(fake.trained) == 8


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("model.name", "KEY=VALUE,VALUE, but got 'model.name'"),
        ("model.name=,", "KEY=VALUE,VALUE"),
        ("train.epochs=2,3,2", "'train.epochs=2' 2 times"),
        ("data.train=a.csv,b.csv", "the same for all runs"),
        ("seed=1,2", "the same for all runs"),
        ("peft.method=lora,full", "named by --methods"),
        ("train.epoch=2,3", "did you mean 'epochs'"),
    ],
)
def test_what_cannot_be_compared_over_is_refused(
    given: dict[str, Any], tmp_path: Path, over: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(given, methods=["full"], over=[over], out=tmp_path / "out", runner=Fake())
    assert not (tmp_path / "out").exists()


def test_bad_data_fails_before_the_first_cell(given: dict[str, Any], tmp_path: Path) -> None:
    fake = Fake()
    with pytest.raises(DataError):
        compare({**given, "data": {"train": "nowhere.csv"}}, methods=["none"], out=tmp_path / "out", runner=fake)
    assert fake.trained == [] and not (tmp_path / "out").exists()


def test_cells_come_seed_by_seed_and_one_model_is_kept(given: dict[str, Any], tmp_path: Path) -> None:
    fake, watch, out = Fake(), Watch(), tmp_path / "out"
    result = compare({**given, "seed": 5}, methods=["lora", "none"], seeds=2, out=out, runner=fake, observer=watch)
    assert fake.trained == [("lora", 5), ("none", 5), ("lora", 6), ("none", 6)]
    assert watch.begun == [(1, 4), (2, 4), (3, 4), (4, 4)] and len(watch.cells) == 4
    assert (result.baseline, result.seeds) == ("none", (5, 6))
    assert result.best is not None and (result.best.method, result.best.seed) == ("none", 5)
    assert (out / "best" / "weights").read_text().split() == ["none", "5"]
    assert not list(out.glob("cells/*/*/best")) and not aside(out / "best").exists()
    assert result.disk.bytes == size(out / "best") and result.disk.keep_all_bytes == 4 * 500
    assert json.loads((out / "comparison.json").read_text()) == json.loads(result.model_dump_json())
    lora, none = result.methods
    assert (lora.method, lora.seeds, lora.mean, lora.p_value is None) == ("lora", 2, pytest.approx(0.71), False)
    assert (none.difference, none.p_value, none.significant) == (None, None, None)
    assert lora.tokens_per_second == pytest.approx((100 / 7.2 + 100 / 7.0) / 2)
    assert {method.method for method in result.methods if method.on_pareto_front} == {"lora", "none"}
    assert result.verdicts[0].startswith("lora: 0.7100 against 0.8100 of full fine-tuning, difference -0.1000 [")
    assert not list(out.rglob("objects")), "equals of the best epochs go too"


def test_a_finished_comparison_trains_nothing_and_more_of_both_extends_it(
    given: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = compare(given, methods=["none", "lora"], seeds=2, out=out, runner=Fake())
    again = Fake()
    assert compare(given, methods=["none", "lora"], seeds=2, out=out, runner=again) == first and not again.trained
    more = Fake()
    result = compare(given, methods=["ia3"], seeds=3, out=out, runner=more)
    assert more.trained == [("ia3", 0), ("ia3", 1), ("ia3", 2)]
    assert [(method.method, method.seeds) for method in result.methods] == [("none", 2), ("lora", 2), ("ia3", 3)]
    more = Fake()
    result = compare(given, methods=["none", "lora"], seeds=3, out=out, baseline="lora", runner=more)
    assert more.trained == [("none", 2), ("lora", 2)] and result.baseline == "lora"
    assert [(cell.method, cell.seed) for cell in result.cells][:3] == [("none", 0), ("lora", 0), ("ia3", 0)]
    other = compare(given, methods=["none"], seeds=1, out=out, baseline="ia3", runner=again)
    assert other.baseline == "ia3" and not again.trained and other.methods[0].p_value is not None


def test_cells_of_other_rows_do_not_come_into_a_comparison(given: dict[str, Any], tmp_path: Path) -> None:
    out, watch = tmp_path / "out", Watch()
    first = compare(given, methods=["none"], seeds=1, out=out, runner=Fake())
    cut(given["data"]["train"], 40)
    assert compare(given, methods=["none"], seeds=1, out=out, runner=Fake(), observer=watch) == first
    assert "nothing was trained" in watch.said[0] and "train had 60 rows and has 40" in watch.said[1]
    with pytest.raises(DataError, match="other data: train had 60 rows and has 40"):
        compare(given, methods=["none"], seeds=2, out=out, runner=Fake())


def test_a_cell_refuses_rows_that_have_changed_since_the_comparison_began(
    given: dict[str, Any], tmp_path: Path
) -> None:
    config = method_configs(given, ["none"]).by_method["none"]
    data = prepare(config).record()
    cut(given["data"]["train"], 40)
    job = Job(config, tmp_path / "cell", None, "full fine-tuning seed 0", data=data)
    outcome = InThisProcess().run(job, prune=lambda epoch: None, stop=lambda: None)
    assert outcome.status == "refused" and "train had 60 rows and has 40" in (outcome.reason or "")


def test_another_config_on_the_same_folder_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(given, methods=["none", "lora"], seeds=1, out=out, runner=Fake())
    with pytest.raises(FolderError, match="train.epochs"):
        compare(given, methods=["none"], seeds=1, overrides=["train.epochs=1"], out=out, runner=Fake())
    with pytest.raises(FolderError, match=r"cells/lora/0.*peft.r"):
        compare(given, methods=["none", "lora"], seeds=2, overrides=["lora:peft.r=4"], out=out, runner=Fake())
    own(tmp_path / "run")
    (tmp_path / "run" / "result.json").write_text("{}")
    with pytest.raises(FolderError, match="holds a run"):
        compare(given, methods=["none"], seeds=1, out=tmp_path / "run", runner=Fake())


def test_a_failed_cell_is_recorded_left_out_and_tried_again_by_the_next_call(
    given: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    broken = Fake(lora_1=Outcome("failed", "NonFiniteLoss: the loss is nan\nat step 3"))
    result = compare(given, methods=["none", "lora"], seeds=3, out=out, runner=broken)
    assert len(broken.trained) == 6
    lora = result.methods[1]
    assert (lora.seeds, lora.failed, lora.p_value is not None) == (2, 1, True)
    assert "left out: lora seed 1 failed (NonFiniteLoss: the loss is nan); run again to retry" in result.verdicts
    mended = Fake()
    result = compare(given, methods=["none", "lora"], seeds=3, out=out, runner=mended)
    assert mended.trained == [("lora", 1)] and result.methods[1].failed == 0


def test_what_one_method_is_refused_for_does_not_stop_the_others(given: dict[str, Any], tmp_path: Path) -> None:
    fake = Fake(lora=Outcome("refused", "no such module"))
    result = compare(given, methods=["lora", "none"], seeds=1, out=tmp_path / "out", runner=fake)
    assert [cell.status for cell in result.cells] == ["failed", "completed"]


def test_what_every_method_is_refused_for_is_the_requests_fault(given: dict[str, Any], tmp_path: Path) -> None:
    refused = Outcome("refused", "warm-up too long")
    fake, out = Fake(none=refused, lora=refused), tmp_path / "out"
    with pytest.raises(RequestError, match="warm-up too long"):
        compare(given, methods=["lora", "none"], seeds=3, out=out, runner=fake)
    assert len(fake.trained) == 2 and {path.name for path in out.iterdir()} == {".lock", ".tunery"}
    mended = {**given, "train": {"epochs": 1}}
    assert compare(mended, methods=["none"], seeds=1, out=out, runner=Fake()).best is not None


def test_a_comparison_of_which_nothing_is_left_has_failed(given: dict[str, Any], tmp_path: Path) -> None:
    fake = Fake(none=Outcome("failed", "killed"), lora=Outcome("failed", "killed"))
    with pytest.raises(StudyFailed, match="no cell completed.*killed"):
        compare(given, methods=["lora", "none"], seeds=2, out=tmp_path / "out", runner=fake)
    assert (tmp_path / "out" / "comparison.json").exists()


def test_a_signal_ends_the_comparison_and_the_same_call_goes_on(given: dict[str, Any], tmp_path: Path) -> None:
    class Torn(Fake):
        def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
            if job.title == "lora seed 1":
                os.kill(os.getpid(), signal.SIGINT)
                return Outcome("interrupted", "saved")
            return super().run(job, prune=prune, stop=stop)

    out, whole = tmp_path / "out", tmp_path / "whole"
    with pytest.raises(Interrupted, match="SIGINT came at lora seed 1; the same command goes on"):
        compare(given, methods=["none", "lora"], seeds=2, out=out, runner=Torn())
    partial = ComparisonResult.model_validate_json((out / "comparison.json").read_text())
    assert len(partial.cells) == 3
    rest = Fake()
    result = compare(given, methods=["none", "lora"], seeds=2, out=out, runner=rest)
    assert rest.trained == [("lora", 1)]
    at_once = compare(given, methods=["none", "lora"], seeds=2, out=whole, runner=Fake())
    assert result == at_once.model_copy(update={"finished_at": result.finished_at})


def test_a_full_disk_stops_the_comparison_and_the_cell_is_not_given_up(given: dict[str, Any], tmp_path: Path) -> None:
    out, full = tmp_path / "out", Outcome("stopped", "no room for 3 MB")
    with pytest.raises(RunError, match="lora seed 0 was stopped: no room for 3 MB"):
        compare(given, methods=["none", "lora", "ia3"], seeds=1, out=out, runner=Fake(lora=full))
    partial = ComparisonResult.model_validate_json((out / "comparison.json").read_text())
    assert [cell.method for cell in partial.cells] == ["none"]
    rest = Fake()
    compare(given, methods=["none", "lora", "ia3"], seeds=1, out=out, runner=rest)
    assert rest.trained == [("lora", 0), ("ia3", 0)]


def test_the_best_model_survives_a_death_while_it_is_moved(given: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(given, methods=["lora"], seeds=1, out=out, runner=Fake())
    with pytest.raises(SystemExit):
        compare(given, methods=["lora", "none"], seeds=1, out=out, runner=Fake(), write=lambda *_: sys.exit())
    (out / "best").rename(out / "cells" / "none" / "0" / "best")
    again = Fake()
    result = compare(given, methods=["lora", "none"], seeds=1, out=out, runner=again)
    assert not again.trained and result.best is not None and result.best.method == "none"
    assert (out / "best" / "weights").read_text().split() == ["none", "0"]


def test_words_for_what_the_numbers_do_not_show(given: dict[str, Any], tmp_path: Path) -> None:
    same = compare(
        given, methods=["none", "lora"], seeds=1, out=tmp_path / "a", runner=Fake(score=lambda method, seed: 1.0)
    )
    assert any("one seed proves nothing" in line and "--seeds 3" in line for line in same.verdicts)
    where = next(n for n, line in enumerate(same.verdicts) if "the data decide this, not the methods" in line)
    assert same.verdicts[where + 1].strip() == "warning: the test split has one class"


def test_a_shared_rate_far_from_the_default_of_a_method_is_told_of_that_method(
    given: dict[str, Any], tmp_path: Path
) -> None:
    file, watch = {**given, "optim": {}}, Watch()
    methods, rate = ["lora", "none"], ["optim.lr=1e-3"]
    result = compare(file, methods=methods, seeds=2, out=tmp_path / "a", overrides=rate, runner=Fake(), observer=watch)
    told = "full fine-tuning: optim.lr=0.001 is 20 times the default, 5e-05, for peft=full with adamw; remove the key"
    assert [line.startswith(f"warning: {told}") for line in watch.said] == [True]
    assert [line.startswith(told) for line in result.verdicts if "times the default" in line] == [True]
    own = compare(file, methods=methods, seeds=2, out=tmp_path / "b", runner=Fake(), observer=watch)
    assert len(watch.said) == 1 and not any("the default" in line for line in own.verdicts)


def test_of_cells_that_tie_the_one_with_the_lower_loss_is_kept(given: dict[str, Any], tmp_path: Path) -> None:
    losses = {"none": 0.9, "lora": 0.4, "ia3": 0.5}
    runner = Fake(score=lambda method, seed: 0.8, loss=losses.__getitem__)
    result = compare(given, methods=list(losses), seeds=2, out=tmp_path / "a", runner=runner)
    assert result.best is not None and (result.best.method, result.best.seed) == ("lora", 0)


@pytest.mark.parametrize("equal", [True, False])
def test_nothing_is_concluded_from_runs_whose_scores_are_doubtful(
    given: dict[str, Any], tmp_path: Path, equal: bool
) -> None:
    note = "the validation loss still fell from 2.401 to 2.330 in the last epoch: training longer may do better"
    runner = Fake(notes={"lora": (note,)}, **({"score": lambda method, seed: 0.5} if equal else {}))
    result = compare({**given, "optim": {}}, methods=["none", "lora"], seeds=2, out=tmp_path / "a", runner=runner)
    first, which, *others = result.verdicts
    assert first.startswith("no conclusion: the scores of 2 of 4 runs are doubtful")
    assert which == f"  lora, 2 of 2 runs: {note}"
    assert others[0].startswith("lora: 0.") and len(others) == 1


# From here on with real processes.


DIVERGING = ["lora:optim.lr=1000", "lora:optim.weight_decay=1000"]
"""Every step makes the weights a million times larger."""


def test_a_comparison_with_real_processes(
    given: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    result = tunery.compare(given, methods=["none", "lora"], seeds=1, out=out, overrides=DIVERGING)
    none, lora = result.cells
    assert none.status == "completed" and none.result is not None and none.result.memory.host_peak_bytes > 1e8
    assert none.value == (none.result.metrics.test or {})["f1_macro"]
    assert lora.status == "failed" and (lora.reason or "").startswith("the loss must stay finite")
    assert not (out / lora.folder / "resume").exists() and not (out / lora.folder / "objects").exists()
    assert load(out).predict(["it was great"])[0].label in ("good", "bad")
    assert "full fine-tuning seed 0: epoch 2/2" in capfd.readouterr().err
    assert (out / none.folder / "report.html").exists() and not list(out.rglob("worst_rows.json"))


SCRIPT = """
import json, sys
from tunery import compare
compare(json.loads(sys.argv[1]), methods=["none"], seeds=1, out=sys.argv[2])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_parent_leaves_no_orphan_and_the_cell_goes_on(
    given: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    long = {**given, "train": {"epochs": 100, "batch_size": 8, "early_stopping": None}}
    out = tmp_path / "out"
    cell = out / "cells" / "none" / "0"
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, json.dumps(long), str(out)], stderr=subprocess.PIPE)
    assert wait_for(lambda: any((cell / "resume").glob("step-*.json")), 180)
    child = json.loads((cell / ".lock").read_text())["pid"]
    parent.send_signal(number)
    _, told = parent.communicate(timeout=120)
    assert number == signal.SIGKILL or b"SIGINT came at full fine-tuning seed 0" in told
    assert wait_for(lambda: not Path(f"/proc/{child}").exists(), 30)
    assert any((cell / "resume").glob("step-*.json")) and not (cell / "result.json").exists()
