"""What the base learned before a run: a sentence for each stage of continued pretraining, and how its loss went."""

from collections.abc import Sequence

from tunery.report.charts.figure import Size
from tunery.report.charts.training_charts import held_out_chart
from tunery.report.markup import Html, join, prose, tag
from tunery.report.pages.components import figure, legend, section
from tunery.report.text.pretraining_sentence import pretraining_sentence
from tunery.schema.results.run import PretrainRecord


def pretraining_section(stages: Sequence[PretrainRecord]) -> Html | None:
    """None where there was none."""
    return section("Continued pretraining", *map(_stage, stages)) if stages else None


def _stage(stage: PretrainRecord) -> Html:
    said = pretraining_sentence(stage)
    sentence = tag("p", prose(f"{said[0].upper()}{said[1:]}."))
    if sum(loss is not None for loss in stage.losses) < 2:
        return sentence

    def draw(size: Size) -> Html:
        return held_out_chart(stage, size=size)

    marks = legend(("done", "line", "held-out texts, after each epoch"), ("best", "ring", "epoch that was taken"))
    return join([sentence, marks, figure(draw, wide=(1040, 220), phone_height=210)])
