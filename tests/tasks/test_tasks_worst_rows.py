"""Which rows are answered worst, and how much is told of them."""

import numpy as np
import pytest

from row_tables import logit_table
from tunery.data.evidence import Span, make_evidence
from tunery.data.examples import Example, Split
from tunery.data.row_table import RowTable
from tunery.schema.config.task import ClassificationTask, CriteriaEvidenceTask, MultilabelTask, RegressionTask
from tunery.schema.results.worst_rows import RowNumber
from tunery.tasks.table import make_task
from tunery.tasks.worst_rows import (
    MOST_CHARACTERS,
    MOST_MARKED_CHARACTERS,
    MOST_ROWS,
    MOST_TYPICAL,
    passages,
    worst_rows,
)


def split_of(*examples: Example) -> Split:
    return Split(name="test", examples=examples, source="", digest="")


def test_the_highest_loss_comes_first_with_what_is_right_and_what_was_answered() -> None:
    task = make_task(ClassificationTask(), ("a", "b", "c"), {})
    split = split_of(
        Example(text="right", labels=("a",), id="r-0"),
        Example(text="sure and wrong", labels=("b",)),
        Example(text="unsure and wrong", labels=("c",), id="r-2"),
        Example(text="unsure and wrong", labels=("c",), id="r-3"),
    )
    probabilities = np.array([[0.9, 0.05, 0.05], [0.96, 0.03, 0.01], [0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
    found = worst_rows(task, split, RowTable({"logits": np.log(probabilities)}), state=None, texts=True)
    assert (found.split, found.total, [row.id for row in found.rows]) == ("test", 4, ["#1", "r-2", "r-3", "r-0"])
    worst = found.rows[0]
    assert (worst.labels, worst.answer) == (("b",), ("a",))
    assert worst.loss == pytest.approx(-np.log(0.03)) and worst.probabilities == pytest.approx({"b": 0.03, "a": 0.96})
    assert [text.text for text in worst.texts] == ["sure and wrong"]
    assert found.rows[-1].labels == found.rows[-1].answer == ("a",)


def test_with_several_labels_the_loss_is_the_mean_over_all_and_the_answer_that_of_the_thresholds() -> None:
    task = make_task(MultilabelTask(), ("a", "b"), {})
    split = split_of(Example(text="t", labels=("a",)), Example(text="u", labels=("a", "b")), Example(text="v"))
    probabilities = np.array([[0.4, 0.3], [0.1, 0.9], [0.1, 0.1]])
    logits = np.log(probabilities / (1 - probabilities))
    found = worst_rows(task, split, RowTable({"logits": logits}), state={"thresholds": [0.35, 0.2]}, texts=True)
    assert [row.id for row in found.rows] == ["#1", "#0", "#2"]
    assert [row.answer for row in found.rows] == [("b",), ("a", "b"), ()]
    assert found.rows[1].loss == pytest.approx(-(np.log(0.4) + np.log(0.7)) / 2)
    assert found.rows[1].probabilities == pytest.approx({"a": 0.4, "b": 0.3}) and found.rows[2].probabilities == {}


@pytest.mark.parametrize("spec", [ClassificationTask(), MultilabelTask()])
def test_the_losses_of_all_rows_have_the_loss_of_the_split_as_their_mean(
    spec: ClassificationTask | MultilabelTask,
) -> None:
    task = make_task(spec, ("a", "b", "c"), {})
    labels = task.truth([Example(text="t", labels=(name,)) for name in "abcab"])
    logits = logit_table(5 * np.random.default_rng(0).normal(size=(5, 3)))
    losses = task.losses(logits, labels)
    assert losses.shape == (5,)
    assert losses.mean() == pytest.approx(task.score(logits, labels, None)["loss"])


def test_however_long_and_many_texts_are_the_record_is_small() -> None:
    task = make_task(ClassificationTask(), ("a", "b"), {})
    long, edge = "word \n" * 10**6, "x" * MOST_CHARACTERS
    pairs = [Example(text=long, text_pair=edge, labels=("a",), id=str(n)) for n in range(200)]
    found = worst_rows(task, split_of(*pairs), RowTable({"logits": np.zeros((200, 2))}), state=None, texts=True)
    assert [row.id for row in found.rows] == [str(n) for n in range(MOST_ROWS)] and found.total == 200
    first, second = found.rows[0].texts
    assert first.is_cut and first.text == ("word " * 100)[:MOST_CHARACTERS]
    assert (second.text, second.is_cut) == (edge, False)
    assert len(found.model_dump_json(indent=1)) < 40_000


def test_without_texts_nothing_of_them_is_there() -> None:
    task = make_task(ClassificationTask(), ("a", "b"), {})
    split = split_of(Example(text="secret", text_pair="hidden", labels=("a",), id="r-0"))
    answers = RowTable({"logits": np.zeros((1, 2))})
    bare, full = (worst_rows(task, split, answers, state=None, texts=texts) for texts in (False, True))
    assert full.has_texts and not bare.has_texts and full.without_texts() == bare
    assert "r-0" in bare.model_dump_json() and "secret" not in bare.model_dump_json()


def posts(count: int) -> tuple[Example, ...]:
    """A sentence that is evidence of `a` and one that is not."""
    target = make_evidence([Span(0, 9, "a")])
    return tuple(Example(text="I am low. It rains.", labels=("a",), id=f"p-{n}", target=target) for n in range(count))


def test_rows_with_evidence_have_the_spans_of_both_and_typical_rows_beside_the_worst() -> None:
    task = make_task(CriteriaEvidenceTask(), ("a", "b"), {"unit": "sentence", "annotation": "exhaustive"})
    examples = posts(MOST_ROWS + 20)
    truth = task.truth(examples)
    logits = np.stack([np.linspace(-2, 2, len(examples)), np.full(len(examples), -9.0)], axis=1)
    columns = dict(task.untrained(truth).columns) | {"logits": logits}
    for units in columns["units"]:
        units[:] = [[-9, -9], [3, -9]]  # the other sentence
    found = worst_rows(task, split_of(*examples), RowTable(columns), state=None, texts=True)
    assert (len(found.rows), len(found.typical)) == (MOST_ROWS, MOST_TYPICAL)
    losses = [row.loss for row in (*found.rows, *found.typical)]
    assert losses == sorted(losses, reverse=True) and len({row.id for row in found.typical}) == MOST_TYPICAL
    missed, given = found.rows[0], found.typical[-1]
    assert missed.marks is not None and given.marks is not None and missed.texts == ()
    assert (missed.answer, missed.marks.answer) == ((), ()) and given.answer == ("a",)
    assert [(span.label, span.start, span.end, span.score) for span in missed.marks.evidence] == [("a", 0, 9, None)]
    assert [(span.label, span.start, span.end) for span in given.marks.answer] == [("a", 10, 19)]
    assert given.marks.answer[0].score == pytest.approx(1 / (1 + np.exp(-3)))
    assert [passage.text for passage in given.marks.passages] == ["I am low. It rains."]
    bare = found.without_texts()
    assert not bare.has_texts and "rains" not in bare.model_dump_json() and bare.rows[0].marks is not None
    assert bare == worst_rows(task, split_of(*examples), RowTable(columns), state=None, texts=False)


def test_of_a_long_text_the_parts_around_its_evidence_are_kept() -> None:
    text = "wor\u0301d " * 20_000
    found = passages(text, [(50_000, 50_010), (50_100, 50_120), (90_003, 90_009)])
    assert len(found) == 2 and sum(len(passage.text) for passage in found) < MOST_MARKED_CHARACTERS
    assert all(text[passage.start : passage.end] == passage.text for passage in found)
    assert all(passage.text.startswith("w") and passage.text.endswith("d") for passage in found)
    assert found[0].start <= 49_900 < 50_220 <= found[0].end and found[1].start <= 89_903 < 90_109 <= found[1].end
    (long,) = passages(text, [(0, len(text))])
    assert (long.start, len(long.text)) == (0, MOST_MARKED_CHARACTERS)
    (beginning,) = passages(text, [])
    assert beginning.start == 0 and len(beginning.text) < 2 * MOST_CHARACTERS
    marks_only = passages("\u0301" * 5_000, [(2_000, 2_001)])
    assert "".join(passage.text for passage in marks_only) and passages("", []) == ()


def test_a_number_is_there_with_its_interval_and_a_level_with_its_probability() -> None:
    task = make_task(RegressionTask(), (), {"mean": "10", "standard_deviation": "2"})
    split = split_of(*(Example(text=f"t{n}", number=number) for n, number in enumerate((10.0, 18.0, 9.0))))
    answers = RowTable({"number": np.array([0.0, 0.0, 1.0])})
    found = worst_rows(task, split, answers, state={"conformal_quantile": 3.0}, texts=True).rows
    assert [row.number and row.number.right for row in found] == [18.0, 9.0, 10.0]
    assert [row.loss for row in found] == [16.0, 2.25, 0.0]
    (first, second, third) = (row.number for row in found)
    assert first == RowNumber(right=18, answer=10, low=7, high=13) and first.is_inside is False
    assert second == RowNumber(right=9, answer=12, low=9, high=15) and second.is_inside is True
    assert third is not None and found[0].labels == found[0].answer == ()
    levels = make_task(RegressionTask(ordinal=True), ("1", "2"), {})
    split = split_of(Example(text="t", labels=("1",), number=1.0))
    (row,) = worst_rows(levels, split, RowTable({"logits": np.array([[2.0]])}), state=None, texts=False).rows
    assert (row.labels, row.answer, row.number) == (("1",), ("2",), None) and set(row.probabilities) == {"1", "2"}
