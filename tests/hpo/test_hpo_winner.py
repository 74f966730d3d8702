"""The end of a study: the winner, once; what is freed and when; and that it can be stopped anywhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from raising import raising
from tiny_runs import config, write_rows
from tunery import load
from tunery.errors import Damaged, StudyFailed
from tunery.execution.runner import Job, Outcome
from tunery.hpo.analysis.ensemble import Measured, measure
from tunery.hpo.analysis.importance import importances
from tunery.hpo.plan import Plan
from tunery.hpo.winner import conclude, front, ranked
from tunery.pages import write_study_page
from tunery.report.text.leaderboard import leaderboard_csv
from tunery.schema import RunConfig
from tunery.schema.results.storage import Disk
from tunery.schema.results.study import Rescored, StudyResult, TrialRecord
from tunery.store.disk.run_lock import read_study
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.store.objects.objects import Objects
from tunery.store.study import StudyStore
from tunery.train.artifacts.export import export_run
from tunery.train.artifacts.publish import publish
from tunery.train.fit import fit
from tunery.train.predict.inference import Predictor

End = Callable[..., StudyResult]

LRS = (1e-4, 3e-3, 1e-3)
VALUES = (0.5, 0.9, 0.7)
"""What the study believes of its trials: 1 is the best, then 2."""


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with three trials whose weights are all there."""
    root = tmp_path_factory.mktemp("winner") / "study"
    root.mkdir()
    for number in range(3):
        fit(trial_config(tiny_bert, root, number), out=root / "trials" / str(number), study=root)
        folder = RunFolder(root / "trials" / str(number))
        result = folder.result()
        assert result is not None
        folder.write_result(
            result.model_copy(update={"objective": result.objective.model_copy(update={"value": VALUES[number]})})
        )
    return root


def trial_config(model: Path, root: Path, number: int, **search: Any) -> RunConfig:
    return config(
        str(model),
        write_rows(root),
        peft={"method": "bitfit"},
        optim={"lr": LRS[number]},
        train={"epochs": 1, "batch_size": 8},
        checkpoint={"keep_best": 3},
        search=search,
    )


@pytest.fixture
def out(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


def never(job: Job) -> Outcome:
    raise AssertionError(job.title)


@pytest.fixture
def end(out: Path, trained: Path, tiny_bert: Path) -> End:
    """Ends the study, with settings of its own."""

    def conclude_with(
        result: StudyResult, *, keep_best: int = 1, steps: dict[str, Any] | None = None, **search: Any
    ) -> StudyResult:
        base = trial_config(tiny_bert, trained, 0, **search)
        rule = base.checkpoint.model_copy(update={"keep_best": keep_best})
        store = StudyStore(out, rule, direction="maximize", candidates=3)
        study = optuna.create_study(direction="maximize")
        for number in range(24):
            distributions = {"optim.lr": optuna.distributions.FloatDistribution(0, 24)}
            study.add_trial(
                create_trial(params={"optim.lr": float(number)}, distributions=distributions, value=number % 12)
            )
        return conclude(
            result, Plan(document={}, base=base, out=out, study=study, rows=60), store=store, run=never, **steps or {}
        )

    return conclude_with


def so_far(*numbers: int, **given: Any) -> StudyResult:
    trials = tuple(
        TrialRecord(number=n, status="completed", value=VALUES[n], params={}, seconds=1, epochs=1) for n in numbers
    )
    return StudyResult(
        name="study",
        objective="f1_macro",
        direction="maximize",
        best=None,
        trials=given.pop("trials", trials),
        counts={"completed": len(trials), "pruned": 0, "failed": 0, "running": 0, "total": len(trials)},
        disk=Disk(bytes=0, keep_all_bytes=0),
        seconds=1,
        **given,
    )


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time that test was looked at."""
    seen, score = list[int](), Predictor.jackknife

    def counting(self: Predictor, examples: Any, answers: Any) -> Any:
        seen.append(len(examples))
        return score(self, examples, answers)

    monkeypatch.setattr(Predictor, "jackknife", counting)
    return seen


def weights(out: Path) -> list[bool]:
    return [
        RunFolder(out / "trials" / str(number), objects=Objects(out / "objects")).best() is not None
        for number in range(3)
    ]


def test_the_best_is_published_scored_and_written_down_and_the_rest_is_freed(
    out: Path, end: End, scored: list[int]
) -> None:
    result = end(so_far(0, 1, 2))
    best = result.best
    assert best is not None and (best.number, best.config["optim"]["lr"]) == (1, LRS[1])
    assert best.test["f1_macro"] == load(out).score(_test_rows(out))["f1_macro"] and len(scored) == 1
    assert read_study(out) == result and (out / "leaderboard.csv").exists() and (out / "report.html").exists()
    assert {told.method for told in result.ensembles} == {"mean", "weighted", "vote", "soup"}
    assert result.ensembles[0].trials == (1, 2, 0) and result.rescored == () == result.front
    assert [one.path for one in result.importance["ped_anova"]] == ["optim.lr"]
    assert weights(out) == [False, True, False]
    assert result.disk.bytes == sum(path.stat().st_size for path in _weights_on_disk(out))


def _test_rows(out: Path) -> Any:
    from tunery.tasks.table import read_splits

    given = load(out).config
    return read_splits(given.data, given.task, seed=given.data.seed).test.examples


def _weights_on_disk(out: Path) -> list[Path]:
    files = [path for name in ("objects", "best") for path in (out / name).rglob("*") if path.is_file()]
    return [path for path in files if path.name != "README.md"]


STEPS = (publish, measure, importances, storage_of, leaderboard_csv, write_study_page)


def test_the_winners_notes_make_the_study_doubtful_and_so_does_that_all_trials_answer_alike(
    out: Path, end: End
) -> None:
    result = end(so_far(0, 1, 2))
    alike, *doubts = result.doubts
    winner_result = RunFolder(out / "trials" / "1").result()
    assert alike == "all 3 completed trials give every row of validation the same answer"
    assert winner_result is not None and "for every row" in winner_result.notes[0]
    assert doubts == [f"trial 1, the winner: {note}" for note in winner_result.notes]
    assert not set(result.doubts) & set(result.notes)


def test_a_stop_anywhere_changes_nothing_and_repeats_nothing(out: Path, end: End, scored: list[int]) -> None:
    """Killed as it enters a step, and once more as it leaves it, step after step."""
    for step in STEPS:
        for at in ("call", "return"):
            with pytest.raises(KeyboardInterrupt), raising(KeyboardInterrupt(), step, at=at):
                end(so_far(0, 1, 2))
            assert not (out / "study.json").exists()
    result = end(so_far(0, 1, 2))
    assert len(scored) == 1 and len(result.ensembles) == 4
    assert not any("weights" in note for note in result.notes)
    again = end(so_far(0, 1, 2))
    assert again.model_copy(update={"finished_at": result.finished_at}) == result and len(scored) == 1


def test_who_was_scored_on_test_is_never_scored_again(out: Path, end: End, scored: list[int]) -> None:
    """The winner is 2, then 1, then 2 again: its export has to be made anew, and its score is known."""
    keep: dict[str, Any] = {"keep_best": 3, "ensemble": None}
    first = end(so_far(0, 2), **keep).best
    assert first is not None and first.number == 2 and len(scored) == 1
    assert end(so_far(0, 2), **keep).best == first and len(scored) == 1
    second = end(so_far(0, 1, 2), **keep).best
    assert second is not None and second.number == 1 and len(scored) == 2
    assert load(out).config.lr == LRS[1]
    again = Rescored(number=2, seeds=(0, 1), values=(0.7, 0.9), mean=0.8)
    other = Rescored(number=1, seeds=(0, 1), values=(0.9, 0.1), mean=0.5)
    third = end(so_far(0, 1, 2), steps={"rescore": lambda *_, **__: (again, other)}, **keep)
    assert third.best == first and len(scored) == 2 and third.rescored == (again, other)
    assert load(out).config.lr == LRS[2]


def test_the_best_mean_whose_weights_are_there_wins(out: Path, end: End) -> None:
    RunFolder(out / "trials" / "2").write_kept(())
    order = tuple(Rescored(number=n, seeds=(0,), values=(0.5,), mean=0.5) for n in (2, 0, 1))
    result = end(so_far(0, 1, 2), steps={"rescore": lambda *_, **__: order}, ensemble=None)
    assert result.best is not None and result.best.number == 0
    (lost,) = [note for note in result.notes if "weights" in note]
    assert lost.startswith(
        "trial 2 has a better mean over seeds than the winner, but its weights are gone; checkpoint.keep_best=N keeps"
    )


def test_the_winner_by_its_mean_is_what_is_exported(out: Path, end: End, tmp_path: Path) -> None:
    """Trial 1 has the best value, so that its weights stay; the winner's are in `best/`."""
    order = tuple(Rescored(number=n, seeds=(0,), values=(0.5,), mean=0.5) for n in (2, 1))
    end(so_far(0, 1, 2), steps={"rescore": lambda *_, **__: order}, ensemble=None)
    assert weights(out) == [False, True, False]
    assert load(export_run(out, tmp_path / "export")).config.lr == LRS[2]
    assert load(export_run(out, tmp_path / "other", trial=1)).config.lr == LRS[1]


def test_a_member_whose_weights_are_gone_is_a_note(out: Path, end: End) -> None:
    RunFolder(out / "trials" / "2").write_kept(())
    result = end(so_far(0, 1, 2))
    assert result.ensembles[0].trials == (1, 0)
    assert any(note.startswith("not in the ensembles: the weights of trial 2 are gone; ") for note in result.notes)


def test_what_a_study_asks_for_is_handed_on(end: End) -> None:
    seen: dict[str, Any] = {}

    def noting(order: Any, **named: Any) -> tuple[Rescored, ...]:
        seen.update(named, order=[trial.number for trial in order])
        return ()

    def measuring(out: Path, order: Any, **_: Any) -> Measured:
        seen.update(members=order)
        return Measured()

    steps = {"rescore": noting, "ensembles": measuring}
    end(so_far(0, 1, 2), steps=steps, rescore={"top": 2, "seeds": 7}, ensemble=2)
    assert seen["order"] == [1, 2, 0] and seen["rule"].seeds == 7 and seen["run"] is never
    assert seen["direction"] == "maximize" and seen["members"] == (1, 2)


def test_a_study_that_completed_nothing_fails_with_its_records_written(out: Path, end: End) -> None:
    with pytest.raises(StudyFailed, match="no trial completed; `study.json` and the trials' `result.json` say why"):
        end(so_far())
    assert json.loads((out / "study.json").read_text())["best"] is None


def test_a_winner_without_records_or_with_damaged_weights_is_named(out: Path, end: End) -> None:
    for path in (out / "objects").glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    with pytest.raises(Damaged, match=r"trial 1 won, but .*; `tunery train .*config.yaml --out DIR` trains it again"):
        end(so_far(0, 1))
    RunFolder(out / "trials" / "1").write_kept(())
    with pytest.raises(StudyFailed, match="trial 1 won, but its records are gone from .*trials/1"):
        end(so_far(1))


def test_the_front_has_what_nothing_beats_in_every_objective() -> None:
    def trial(number: int, value: float | None, **costs: float) -> TrialRecord:
        return TrialRecord(number=number, status="completed", value=value, params={}, seconds=1, epochs=1, beside=costs)

    trials = (
        trial(0, 0.9, memory=5, disk=2),
        trial(1, 0.8, memory=4, disk=2),
        trial(2, 0.8, memory=4, disk=3),  # beaten by 1
        trial(3, 0.1, memory=9, disk=0),
        trial(4, 0.99, memory=1),  # a cost is not known
        trial(5, None, memory=0, disk=0),
    )
    given = so_far(
        trials=trials, objectives=("f1_macro", "memory", "disk"), directions=("maximize", "minimize", "minimize")
    )
    assert front(given) == (0, 1, 3)
    assert front(given.model_copy(update={"directions": ("minimize",) * 3})) == (1, 3)
    assert front(given.model_copy(update={"directions": ("maximize", "maximize", "minimize")})) == (0, 3)
    assert front(given.model_copy(update={"objectives": ("f1_macro",)})) == ()
    assert [one.number for one in ranked(given)] == [4, 0, 1, 2, 3]
