"""What is said of the folds of a cross-validated run."""

from tunery.report.text.comparison_table import interval
from tunery.report.text.formatting import metric_name, score
from tunery.schema.results.run import RunResult

_FINAL = {
    "refit": "The model was trained as without folds, and decides as the folds say",
    "ensemble": "The model is all folds together",
    "best_fold": "The model is that of the fold with the best score",
}


def fold_sentence(result: RunResult) -> str:
    """The score of all rows that were held out, how far folds differ, and what the model is."""
    name, data = metric_name(result.objective.name), result.config["data"]
    values = [fold.value for fold in result.folds if fold.value is not None]
    between = f", from {score(min(values))} to {score(max(values))} in one fold" if values else ""
    repeats = f" ({data['repeats']} times {data['folds']})" if data["repeats"] > 1 else ""
    value = f"{name} {score(result.objective.value)}{reach_of_folds(result)}"
    return f"Out of fold, {len(result.folds)} folds{repeats}: {value}{between}. {_FINAL[data['final']]}."


def reach_of_folds(result: RunResult) -> str:
    """The interval of the score out of fold; empty where there is none."""
    ends = result.metrics.oof_interval
    return "" if ends is None else f", 95 % interval {interval(*ends)}"
