"""What a page shows of a task's metrics beside the numbers that every task has."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tunery.report.charts.figure import Size
from tunery.report.charts.number_charts import numbers_chart
from tunery.report.charts.reliability_chart import reliability_chart
from tunery.report.markup import Html, tag
from tunery.report.pages.components import classes, figure, legend, number_cell, table
from tunery.report.pages.confusion_matrix import MOST_LABELS, confusion_parts
from tunery.report.text.decision_sentences import decision_sentence
from tunery.report.text.formatting import count, percent, plural, score, signed
from tunery.report.text.numbers import finite
from tunery.schema.config.task import (
    CausalLmTask,
    ClassificationTask,
    CriteriaEvidenceTask,
    MlmTask,
    MultilabelTask,
    RegressionTask,
)
from tunery.schema.spec import Spec

Sections = Callable[[Mapping[str, Any], str, Mapping[str, Any]], list[Html]]
"""Metrics of a split, its title and the config of the run -> what is shown."""


CRITERIA_COLUMNS: Final = (
    "support",
    "precision",
    "recall",
    "f1",
    "threshold",
    "evidence_auprc",
    "evidence_token_f1",
    "evidence_hit_at_1",
)
"""Metrics of a label with its evidence that fit on a page."""


def _labels(metrics: Mapping[str, Any], title: str, config: Mapping[str, Any]) -> list[Html]:
    """A table of the labels, which of them are mixed up, and how often probabilities are right."""
    return [*_decided(config), *_label_table(metrics, title), *_reliability(metrics)]


def _decided(config: Mapping[str, Any]) -> list[Html]:
    """By what labels are decided, and what errors cost."""
    task = config.get("task", {})
    sentence, costs = decision_sentence(task), task.get("costs")
    return [*([tag("p", sentence)] if sentence else []), *([_costs(costs)] if costs else [])]


def _costs(costs: Mapping[str, Any]) -> Html:
    """One line for each label: what a missed and a wrong one cost; or, where it is true, what each label costs."""
    is_of_labels = {"missed", "wrong"} == set(costs)
    if is_of_labels and not any(isinstance(value, Mapping) for value in costs.values()):
        costs = {"all labels": costs}
    elif is_of_labels:
        named = [key for value in costs.values() if isinstance(value, Mapping) for key in value]
        costs = {
            label: {key: value.get(label) if isinstance(value, Mapping) else value for key, value in costs.items()}
            for label in dict.fromkeys(named)
        }
    columns = list(dict.fromkeys(key for row in costs.values() for key in row))[:MOST_LABELS]
    rows = [
        tag("tr", tag("td", label), *(number_cell(finite(row.get(key)), _short) for key in columns))
        for label, row in list(costs.items())[:MOST_LABELS]
    ]
    return table([("cost", None), *((key, "n") for key in columns)], rows)


def _short(number: float) -> str:
    return f"{number:g}"


def _label_table(metrics: Mapping[str, Any], title: str, columns: Sequence[str] | None = None) -> list[Html]:
    per_label = classes(metrics, columns=columns)
    heading = [] if per_label is None else [tag("h3", f"{title}, per label"), per_label]
    return [*heading, *confusion_parts(metrics)]


def _reliability(metrics: Mapping[str, Any]) -> list[Html]:
    """How often probabilities are right, as the model gives them and as they are told."""
    both = metrics.get("probabilities")
    if not isinstance(both, Mapping) or not {"before", "after"} <= both.keys():
        return []
    forms = {"as told": both["after"]}
    if both["before"] != both["after"]:
        forms |= {"before calibration": both["before"]}
    colours = dict(zip(forms, ("done", "stopped"), strict=False))

    def draw(size: Size) -> Html:
        bins = {colours[name]: [(n, told, right) for n, told, right in form["bins"]] for name, form in forms.items()}
        return reliability_chart(bins, size=size)

    rows = [
        tag("tr", tag("td", title), *(number_cell(finite(form[key]), score) for form in forms.values()))
        for key, title in (("loss", "log loss"), ("brier", "Brier score"), ("ece", "expected calibration error"))
    ]
    text = "A dot on the line: of the texts with such a probability, that share is right. Large dots stand for many. "
    text += (
        "Calibration was fitted on validation."
        if len(forms) > 1
        else "Nothing was fitted: it was not asked for, or did not lower the loss of rows that it was not fitted to."
    )
    marks = [("best", "line", "as often right as told"), *((colours[name], "dot", name) for name in forms)]
    return [
        tag("h3", "How often probabilities are right"),
        tag("p", text, class_="quiet"),
        legend(*marks),
        figure(draw, wide=(1040, 420), phone_height=320),
        table([("", None), *((name, "n") for name in forms)], rows),
    ]


def _criteria(metrics: Mapping[str, Any], title: str, config: Mapping[str, Any]) -> list[Html]:
    """The table of the labels, what is given in place of which, how often probabilities are right, and how much of a
    decision its evidence carries."""
    table_of_labels = _label_table(metrics, title, CRITERIA_COLUMNS)
    rest = (*_given_instead(metrics), *_reliability(metrics), *_carried(metrics))
    return [*_decided(config), *table_of_labels, *rest]


def _given_instead(metrics: Mapping[str, Any]) -> list[Html]:
    """Of each label that is missed in some rows, the labels that these rows wrongly get most often."""
    instead, per_label = metrics.get("given_instead"), metrics.get("per_label") or {}
    if not instead:
        return []
    rows = []
    for label, others in list(instead.items())[:MOST_LABELS]:
        support, recall = (finite(per_label.get(label, {}).get(name)) or 0 for name in ("support", "recall"))
        given = ", ".join(f"{other} {count(number)}" for other, number in others.items())
        rows.append(tag("tr", tag("td", label), number_cell(round(support * (1 - recall)), count), tag("td", given)))
    note = (
        "Rows in which a label is missed, and the labels that such rows wrongly get most often, with their number. A "
        "row may get several of them, or none."
    )
    header = [("label", None), ("missed", "n"), ("given instead", None)]
    more = len(instead) - MOST_LABELS
    return [
        tag("h3", "Given in place of others"),
        tag("p", note, class_="quiet"),
        table(header, rows),
        *([tag("p", f"And {plural(more, 'other label')}.", class_="quiet apart")] if more > 0 else []),
    ]


def _carried(metrics: Mapping[str, Any]) -> list[Html]:
    removed, alone = (finite(metrics.get(f"evidence_{name}")) for name in ("comprehensiveness", "sufficiency"))
    if removed is None or alone is None:
        return []
    text = (
        f"Without the evidence that the model finds, the probability of a label that it gives changes by "
        f"{signed(-removed)} on average; with nothing but that evidence by {signed(-alone)}. The first should be far "
        "below 0 and the second near 0 (comprehensiveness and sufficiency of ERASER, signs reversed)."
    )
    return [tag("h3", "How much of a decision its evidence carries"), tag("p", text)]


def _numbers(metrics: Mapping[str, Any], title: str, config: Mapping[str, Any]) -> list[Html]:
    """Levels as labels are; any other numbers drawn against the right ones, and whether intervals hold them."""
    pairs = [*_pairs(metrics.get("points"))]
    intervals = _intervals(metrics)
    if not pairs:
        return [*intervals, *_label_table(metrics, title)]
    width = finite(metrics.get("interval_width"))
    half_width = None if width is None else width / 2

    def draw(size: Size) -> Html:
        return numbers_chart(pairs, half_width=half_width, size=size)

    marks = [("done", "dot", "a row"), ("best", "line", "where the model is right")]
    caption = "Dashed: the ends of the intervals." if half_width else ""
    drawn = figure(draw, wide=(1040, 420), phone_height=620, caption=caption)
    return [tag("h3", f"{title}, row by row"), legend(*marks), drawn, *intervals]


def _pairs(points: Any) -> Iterator[tuple[float, float]]:
    """Right number and the model's, as far as a record has both."""
    for point in points if isinstance(points, Sequence) else ():
        numbers = [*map(finite, point)] if isinstance(point, Sequence) else []
        if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            yield numbers[0], numbers[1]


def _intervals(metrics: Mapping[str, Any]) -> list[Html]:
    coverage, width = (finite(metrics.get(f"interval_{name}")) for name in ("coverage", "width"))
    if coverage is None or width is None:
        return []
    text = (
        f"{percent(coverage)} of the rows have their number inside its interval (split conformal prediction, made on "
        f"validation); intervals are {score(width)} wide on average."
    )
    return [tag("p", text)]


def _told_in_order(metrics: Mapping[str, Any], title: str, config: Mapping[str, Any]) -> list[Html]:
    """How many tokens there are, and what each was told from: other contexts give other perplexities."""
    tokens, longest = finite(metrics.get("tokens")), finite(config.get("model", {}).get("max_length"))
    if not tokens or longest is None:
        return []
    given = finite(config.get("task", {}).get("stride"))
    stride = longest // 2 if given is None else given
    text = (
        f"{title}: each of {count(tokens)} tokens is told once, from those before it in a window of {count(longest)} "
        f"tokens (model.max_length). The later windows of a long text begin with the last {count(stride)} tokens of "
        "the window before (task.stride), which are not told again. Only perplexities and bits per byte with both of "
        "them equal compare."
    )
    return [tag("p", text)]


def _told_from_around(metrics: Mapping[str, Any], title: str, config: Mapping[str, Any]) -> list[Html]:
    """How many tokens are hidden, and that these are not the perplexities of a model that reads in order."""
    tokens = finite(metrics.get("tokens"))
    if not tokens:
        return []
    alone = " Pseudo-perplexity hides each token alone." if "pseudo_perplexity" in metrics else ""
    text = (
        f"{title}: {count(tokens)} tokens are told, 15\N{NO-BREAK SPACE}% of all, which are hidden together and are "
        f"the same in every run, whatever training hides. Loss, accuracy and perplexity are of these.{alone} Neither "
        "compares with the perplexity of causal_lm."
    )
    return [tag("p", text)]


SECTIONS: Final[dict[type[Spec], Sections]] = {
    ClassificationTask: _labels,
    MultilabelTask: _labels,
    CriteriaEvidenceTask: _criteria,
    CausalLmTask: _told_in_order,
    MlmTask: _told_from_around,
    RegressionTask: _numbers,
}
"""By task."""


def task_sections(config: Mapping[str, Any], metrics: Mapping[str, Any], *, title: str) -> list[Html]:
    """What is shown of the metrics of one split.

    Args:
        config: of the run, as its record has it.
        title: of the split.
    """
    kinds = {spec.model_fields["kind"].default: sections for spec, sections in SECTIONS.items()}
    sections = kinds.get(config.get("task", {}).get("kind"))
    return [] if sections is None else sections(metrics, title, config)
