"""Which metrics each task reports, and which way is better."""

from typing import Final, Literal

Direction = Literal["maximize", "minimize"]

METRICS: Final[dict[str, dict[str, Direction]]] = {
    "classification": {
        "f1_macro": "maximize",
        "accuracy": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "mcc": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "ece": "minimize",
        "loss": "minimize",
    },
    "multilabel": {
        "f1_macro": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "subset_accuracy": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "loss": "minimize",
    },
}
"""Scalar metrics per task kind; the first is the default objective."""


def default_objective(task_kind: str) -> str:
    """The metric a task is judged by when the config names none."""
    return next(iter(METRICS[task_kind]))
