"""Numbers and names as a reader wants them."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tunery.report.text.numbers import finite
from tunery.schema.results.direction import Direction
from tunery.schema.sizes import size_text

METRIC_NAMES: Final[dict[str, tuple[str, str]]] = {
    "f1_macro": ("macro F1", "F1 of each class, averaged with equal weight per class"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "f1_micro": ("micro F1", "F1 over all decisions pooled"),
    "f1_weighted": ("weighted F1", "F1 of each class, averaged by the number of its rows"),
    "accuracy": ("accuracy", "share of rows that got the right label, or of tokens that are found the likeliest"),
    "perplexity": ("perplexity", "between how many equally likely tokens the model hesitates, on average"),
    "bits_per_byte": ("bits per byte", "by which the model would compress the text, whatever its tokens are"),
    "pseudo_perplexity": ("pseudo-perplexity", "perplexity where each token is hidden alone, on some of the tokens"),
    "subset_accuracy": ("subset accuracy", "share of rows whose whole set of labels is right"),
    "mcc": ("MCC", "Matthews correlation coefficient: 1 is perfect, 0 is chance"),
    "roc_auc": ("ROC AUC", "area under the ROC curve, averaged over the labels"),
    "pr_auc": ("PR AUC", "area under the precision-recall curve, averaged over the labels"),
    "joint": ("joint", "mean of macro F1 and evidence AUPRC"),
    "evidence_auprc": (
        "evidence AUPRC",
        "area under the precision-recall curve over the words of a text, mean over texts",
    ),
    "evidence_token_f1": ("evidence F1", "F1 of the words that are marked, mean over texts with evidence or marks"),
    "evidence_token_precision": ("evidence precision", "share of marked words that are evidence, mean over the same"),
    "evidence_token_recall": ("evidence recall", "share of the words of evidence that are marked, mean over the same"),
    "evidence_token_f1_micro": ("evidence F1, micro", "F1 of the words that are marked, all texts together"),
    "evidence_iou_f1": (
        "evidence IoU F1",
        "F1 of marked spans, right where they share half of their union with evidence",
    ),
    "evidence_char_f1": (
        "evidence character F1",
        "F1 of the marked characters, 1 where there are none and none marked",
    ),
    "evidence_exact": ("evidence exact", "share of texts with evidence in which exactly that is marked"),
    "evidence_null_accuracy": ("evidence or none", "share of texts and labels where something is marked as it should"),
    "evidence_hit_at_1": ("hit@1", "share of texts with evidence whose best sentence is evidence"),
    "evidence_ndcg_at_10": (
        "nDCG@10",
        "gain of the ten best sentences, discounted by rank, mean over texts with evidence",
    ),
    "evidence_comprehensiveness": (
        "evidence removed",
        "how much the probability of a label that is given falls without its evidence, mean",
    ),
    "evidence_sufficiency": (
        "evidence alone",
        "how much the probability of a label that is given falls with nothing but its evidence, mean",
    ),
    "ece": ("ECE", "expected calibration error: how far confidence is from being right"),
    "brier": ("Brier score", "mean squared error of the probabilities that are told"),
    "spearman": ("Spearman", "correlation of ranks: 1 is the right order, 0 is chance"),
    "pearson": ("Pearson", "linear correlation: 1 is a straight line, 0 is chance"),
    "r2": ("R²", "share of the variance that is explained: 1 is perfect, 0 is the mean for every row"),
    "mse": ("MSE", "mean squared error, in the square of the unit of the data"),
    "mae": ("MAE", "mean absolute error, in the unit of the data"),
    "interval_coverage": ("interval coverage", "share of rows whose number lies in its interval"),
    "interval_width": ("interval width", "mean width of the intervals, in the unit of the data"),
    "tokens": ("tokens", "how many were told"),
    "conformal_quantile": ("conformal quantile", "what the width of intervals follows from"),
    "loss": (
        "loss",
        "mean loss per row, of language models per token: cross-entropy, or the squared error of standardised numbers",
    ),
}
"""Metric -> how it is called in a sentence, and what it says."""

DASH = "\N{EN DASH}"
"""Written where there is no number."""

_MINUS = "\N{MINUS SIGN}"
_GAP = "\N{NO-BREAK SPACE}"
"""Between a number and its unit, which stay on one line."""


def metric_name(name: str) -> str:
    """`f1_macro` -> `macro F1`; an unknown name is shown as it is."""
    return METRIC_NAMES.get(name, (name, ""))[0]


def objective_sentence(name: str, direction: Direction, *, where: str) -> str:
    """What the objective is, where it is taken, and which way it is better."""
    called, meaning = METRIC_NAMES.get(name, (name, ""))
    better = "higher is better" if direction == "maximize" else "lower is better"
    return f"Objective: {called} {where} ({'; '.join(filter(None, (meaning, better)))})."


def cost_axes_sentence(direction: Direction) -> str:
    """How to read a drawing of a score against a cost."""
    return f"Better is to the left and {'up' if direction == 'maximize' else 'down'}."


def score(value: Any) -> str:
    """A metric with four decimals, large ones with four digits or as whole numbers, in which thousands are apart; a
    dash where it is not a number."""
    number = finite(value)
    if number is None:
        return DASH
    if abs(number) < 999.95:
        return f"{number:.4f}" if abs(number) < 10 else f"{number:.4g}"
    return f"{number:,.0f}" if abs(number) < 1e12 else f"{number:.3e}"


def signed(value: Any) -> str:
    """A difference of scores with its sign, four decimals; a dash where it is not a number."""
    number = finite(value)
    if number is None:
        return DASH
    sign = _MINUS if number < 0 else "+"
    return (score(0.0) if float(f"{number:.4f}") == 0 else sign + score(abs(number))).replace("-", _MINUS)


def p_value(value: Any) -> str:
    """`0.031`, `< 0.001`; a dash where nothing was tested."""
    number = finite(value)
    if number is None:
        return DASH
    return f"<{_GAP}0.001" if number < 0.001 else f"{number:.3f}"


def count(value: float) -> str:
    """Whole numbers with thousands apart; below 100, one decimal where there are any."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def epochs(number: float) -> str:
    """`0.0714 epochs`, `1 epoch`, `1,000 epochs`."""
    shown = f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
    return f"{shown} epoch{'' if number == 1 else 's'}"


def short_count(value: float) -> str:
    """`770`, `148 k`, `22.9 M`: three digits."""
    for unit in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g}" + (f"{_GAP}{unit}" if unit else "")
        value /= 1000
    return f"{value:,.0f}{_GAP}T"


def share_of_hundred(value: Any) -> str:
    """A percentage that is one already, three digits: `0.647 %`."""
    number = finite(value)
    return DASH if number is None else f"{number:.3g}{_GAP}%"


def value_text(value: Any) -> str:
    """A parameter's value: lists joined, floats with four digits."""
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cell_text(value: Any, text: Callable[[Any], str] = value_text) -> str:
    """A value in a table of the terminal: a dash where there is none."""
    return DASH if value is None else text(value)


def duration(seconds: float | None) -> str:
    """Seconds as the unit a person would say: `42 s`, `2.5 min`, `12 min`, `3.4 h`."""
    number = finite(seconds)
    if number is None:
        return DASH
    if number < 90:
        return f"{number:.0f}{_GAP}s" if number >= 10 else f"{number:.1f}{_GAP}s"
    if number < 570:
        return f"{number / 60:.1f}{_GAP}min"
    return f"{number / 60:.0f}{_GAP}min" if number < 5400 else f"{number / 3600:,.1f}{_GAP}h"


def size(count: float) -> str:
    """Bytes in decimal units."""
    return size_text(count).replace(" ", _GAP)


def percent(share: float | None) -> str:
    """0.973 -> `97.3 %`, 0.5 -> `50 %`; nearly all and nearly nothing keep a decimal and stay nearly."""
    if share is None:
        return DASH
    if 0 < share < 0.05 or 0.95 < share < 1:
        return f"{min(max(100 * share, 0.1), 99.9):.1f}{_GAP}%"
    return f"{100 * share:.0f}{_GAP}%"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(items[:-1])] if items[:-1] else []), *items[-1:]])


def plural(count: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
