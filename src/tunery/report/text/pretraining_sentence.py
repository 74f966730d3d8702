"""What is said of a stage of continued pretraining."""

from tunery.report.text.formatting import duration, epochs, plural, score, size
from tunery.schema.results.run import PretrainRecord


def pretraining_sentence(stage: PretrainRecord) -> str:
    """One for a stage whose weights a run began with. Its seconds are not in those of the run."""
    fell = f", {score(stage.losses[0])} after its first epoch" if stage.epoch > 1 else ""
    left_out = f"; {stage.left_out:,} that are nearly scored ones left out" if stage.left_out else ""
    length = f"{plural(stage.steps, 'step')} ({epochs(stage.epoch)})"
    loss = f"loss of held-out texts {score(stage.loss)}{fell}"
    cost = duration(stage.seconds) + (f", {size(stage.disk_bytes)} kept" if stage.disk_bytes else "")
    return f"pretraining ({stage.name}): {length} on {stage.texts:,} texts{left_out}; {loss}; {cost}"
