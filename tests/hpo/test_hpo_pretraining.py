"""Continued pretraining in studies and comparisons: each is trained once, whichever run needs it first."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, write_rows
from tunery import compare, load
from tunery import search as run_search
from tunery.errors import DataError, FolderError, Interrupted
from tunery.execution.in_process import InThisProcess
from tunery.schema import RunConfig
from tunery.schema.config.baselines import BASELINES, baseline_config
from tunery.schema.reading.document import override, validate
from tunery.schema.space.default import space_of
from tunery.schema.space.sampled import domains, sample
from tunery.store.disk.lock import held
from tunery.store.disk.ownership import PRETRAIN
from tunery.store.folder import RunFolder
from tunery.store.inventory import stages_in, storage_of
from tunery.store.study import StudyStore
from tunery.tracking.jsonl import read_metrics
from tunery.train.artifacts.export import export_run
from tunery.train.fit import fit


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


def document(model: Path, files: dict[str, str], **sections: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": files,
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "peft": {"method": "lora", "r": 2},
        "optim": {"lr": 3e-3},
        "train": {"epochs": 1, "batch_size": 16, "baselines": []},
        "pretrain": {"lr": 1e-2, "tapt": {"epochs": [0, 1, 3]}},
        **sections,
    }


def only_stage(root: Path) -> RunFolder:
    """The one stage of a folder, which was trained once: each of its epochs was scored once."""
    (name,) = stages_in(root / PRETRAIN)
    stage = RunFolder(root / PRETRAIN / name)
    scored = Counter(line["step"] for line in read_metrics(stage.metrics) if line["name"] == "validation/loss")
    assert scored and set(scored.values()) == {1}
    return stage


def test_trials_of_one_study_share_what_one_of_them_learns_while_another_waits(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    search = {"n_trials": 3, "n_jobs": 2, "sampler": "grid", "pruner": "none", "baselines": []}
    out = tmp_path / "study"
    study = run_search(document(tiny_bert, files, search=search, checkpoint={"keep_best": 3}), out=out)
    assert study.counts["completed"] == study.counts["total"] == 3
    stage = only_stage(out)
    trials = {trial.params["pretrain.tapt.epochs"]: trial.number for trial in study.trials}
    results = {epochs: RunFolder(out / "trials" / str(number)).result() for epochs, number in trials.items()}
    bases = {epochs: str(result.base) for epochs, result in results.items() if result is not None}
    plain = bases[0]
    assert bases == {0: plain, 1: f"{plain}+{stage.path.name}@1", 3: f"{plain}+{stage.path.name}"}
    assert study.best is not None
    other = next(number for number in trials.values() if number != study.best.number)
    load(export_run(out, tmp_path / "exported", trial=other)).predict(["a great film"])
    assert results[3] is not None
    again = validate(results[3].config).model_copy(update={"seed": 1})
    more = fit(again, out=out / "rescored" / "trials" / "1001", study=out / "rescored")
    assert more.base == bases[3]
    assert only_stage(out).path == stage.path
    assert not (out / "rescored" / PRETRAIN).exists()


def test_who_waits_for_a_stage_gives_signs_of_life_and_leaves_when_asked_to(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    run, asked, said = config(str(tiny_bert), files, pretrain={"tapt": {"epochs": 1}}), list[int](), list[str]()

    def stop() -> str | None:
        asked.append(1)
        return "a test" if len(asked) > 3 else None

    with pytest.raises(Interrupted):
        fit(run, out=tmp_path / "run", stop=lambda: "a test")
    (name,) = stages_in(tmp_path / "run" / PRETRAIN)
    with (
        held(tmp_path / "run" / PRETRAIN / name),
        pytest.raises(Interrupted, match="a test came while another process trained a stage"),
    ):
        fit(run, out=tmp_path / "run", stop=stop, say=said.append)
    assert len(asked) == 4
    assert len([line for line in said if line.startswith("tapt: waiting for process ")]) == 1
    fit(run, out=tmp_path / "run")
    assert only_stage(tmp_path / "run").path.name == name


def test_a_run_is_refused_before_its_pretraining_where_there_is_room_for_that_alone(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    def wanted(room: float) -> RunConfig:
        rule = {"max_disk": round(room), "low_disk": "stop", "keep_last": 1, "co_best": 1}
        return config(str(tiny_bert), files, pretrain={"tapt": {"epochs": 1}}, checkpoint=rule)

    with pytest.raises(FolderError, match=r"max_disk allows .* but this run needs at most") as refused:
        fit(wanted(1000), out=tmp_path / "small")
    assert "resume point" in str(refused.value) and not list(tmp_path.glob("small/pretrain/*/objects"))
    fit(wanted(10**9), out=tmp_path / "run")
    stage = only_stage(tmp_path / "run")
    (weights,) = stage.kept()
    store = StudyStore(tmp_path / "run", wanted(10**9).checkpoint, direction="maximize")
    assert store.used_by_stages() >= weights.bytes
    assert store.used() == storage_of(tmp_path / "run").bytes


def test_links_and_what_others_keep_in_the_folder_of_stages_are_left_alone(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    run, out = config(str(tiny_bert), files, pretrain={"tapt": {"epochs": 1}}), tmp_path / "run"
    with pytest.raises(Interrupted):
        fit(run, out=out, stop=lambda: "a test")
    (name,) = stages_in(out / PRETRAIN)
    (out / PRETRAIN / name).rename(tmp_path / "elsewhere")
    (out / PRETRAIN / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="inside a run folder no link is followed"):
        fit(run, out=out)


def test_ranges_within_a_stage_are_searched_and_its_longest_is_what_all_share() -> None:
    space = {
        "task": {"kind": "classification"},
        "data": {"train": "rows.jsonl"},
        "pretrain": {
            "tapt": {
                "epochs": {"low": 0, "high": 9, "step": 3},
                "masking": ["token", "span"],
                "probability": {"low": 0.1, "high": 0.4},
            },
            "dapt": {"corpus": "corpus.txt", "steps": [10, 20]},
        },
    }
    read = space_of(space)
    assert sorted(domains(read)) == [
        "pretrain.dapt.steps",
        "pretrain.tapt.epochs",
        "pretrain.tapt.masking",
        "pretrain.tapt.probability",
    ]
    values = {"epochs": 3, "masking": "span", "probability": 0.2, "steps": 20}
    chosen = validate(sample(read, lambda path, domain: values[path.rpartition(".")[2]]))
    assert chosen.pretrain.tapt is not None and chosen.pretrain.dapt is not None
    assert chosen.pretrain.tapt.lengths == (3, 6, 9)
    assert (chosen.pretrain.dapt.steps, chosen.pretrain.tapt.masking) == (20, "span")
    assert all(baseline_config(chosen, name).pretrain.stages == () for name in BASELINES)
    fixed = {**space, "pretrain": {"tapt": {}}}
    assert not [path for path in domains(space_of(fixed)) if path.startswith("pretrain")]
    given = override({**space, "pretrain": {}}, ["pretrain.tapt.epochs={low: 0, high: 3}"])
    assert set(domains(space_of(given))) == {"pretrain.tapt.epochs"}


@pytest.mark.parametrize("corpus", ["none.txt", ["corpus.txt", "none.txt"]])
def test_a_corpus_that_is_not_there_is_missed_before_anything_is_written(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], corpus: str | list[str]
) -> None:
    (tmp_path / "corpus.txt").write_text("one text\n\nanother text")
    names = [str(tmp_path / name) for name in ([corpus] if isinstance(corpus, str) else corpus)]
    searched = {"corpus": names[0] if len(names) == 1 else names, "epochs": [0, 1]}
    missing = r"pretrain\.dapt\.corpus: there is no file '.*none\.txt'"
    with pytest.raises(DataError, match=missing):
        run_search(document(tiny_bert, files, pretrain={"dapt": searched}), out=tmp_path / "study")
    own = document(tiny_bert, files, pretrain={"dapt": {"corpus": names[0]}})
    over = ["pretrain.dapt.epochs=0,1", f"pretrain.dapt.corpus={','.join(names)}"]
    with pytest.raises(DataError, match=missing):
        compare(own, methods=["none"], out=tmp_path / "comparison", seeds=1, over=over, runner=InThisProcess())
    assert {path.name for path in tmp_path.iterdir()} == {"corpus.txt"}


@pytest.mark.slow
def test_cells_of_a_comparison_share_a_stage(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    stages = {"lr": 1e-2, "tapt": {"epochs": 2, "rungs": [1, 2]}}
    own, out = document(tiny_bert, files, pretrain=stages), tmp_path / "comparison"
    methods, over = ["none", "lora"], ["pretrain.tapt.epochs=0,1,2"]
    compared = compare(own, methods=methods, out=out, seeds=2, over=over, runner=InThisProcess())
    stage = only_stage(out)
    bases = Counter(str(cell.result.base) for cell in compared.cells if cell.result is not None)
    plain = min(bases)
    assert bases == {plain: 4, f"{plain}+{stage.path.name}@1": 4, f"{plain}+{stage.path.name}": 4}
    spent = [cell.result for cell in compared.cells if cell.result is not None]
    once = spent[-1].pretraining[0].seconds if spent[-1].pretraining else 0.0
    assert once > 0 and compared.seconds == pytest.approx(sum(result.seconds.total for result in spent) + once)
