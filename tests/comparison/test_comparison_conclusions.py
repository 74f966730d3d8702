"""What the numbers of a comparison say, of records that no run has written."""

from collections.abc import Mapping

import pytest

from fake_cells import record
from tunery.comparison.conclusions import conclusions
from tunery.comparison.summary import method_summaries
from tunery.schema.reading.document import validate
from tunery.schema.results.comparison import Cell
from tunery.schema.results.record import Objective


def said(objective: str, tokens: Mapping[str, int]) -> tuple[str, ...]:
    """Of two seeds of some methods with so many tokens in the text of test; the perplexity of each is its place."""
    document = {"task": "causal_lm", "data": {"train": "text.txt"}, "model": {"name": "gpt2"}}
    config, cells = validate({**document, "search": {"objective": objective}}), []
    for place, (method, count) in enumerate(tokens.items(), start=1):
        for seed in range(2):
            value = 20.0 * place + 0.1 * seed
            run = record(config, value)
            test = {objective: value, "tokens": count}
            changes = {
                "objective": Objective(name=objective, value=value, direction="minimize"),
                "metrics": run.metrics.model_copy(update={"test": test}),
            }
            run = run.model_copy(update=changes)
            cells.append(Cell(method=method, seed=seed, status="completed", value=value, folder="", result=run))
    names = [*tokens]
    methods = method_summaries(cells, methods=names, baseline=names[0], direction="minimize")
    return conclusions(methods, cells, baseline=names[0], direction="minimize")


def test_a_lower_perplexity_is_better() -> None:
    against, trade_off = said("perplexity", {"none": 500, "lora": 500})
    assert against.startswith("lora: 40.0500 against 20.0500 of full fine-tuning, difference 20.0000")
    assert "significantly worse" in against
    assert trade_off == "best trade-off of score against training seconds: full fine-tuning"


@pytest.mark.parametrize("objective", ["perplexity", "loss"])
def test_scores_of_other_tokens_do_not_compare(objective: str) -> None:
    first, *others = said(objective, {"none": 1500, "lora": 400})
    assert first == (
        "no conclusion: the text of test has 400 tokens for one method and 1,500 for another, so that "
        f"{objective}, which is of tokens, does not compare; search.objective=bits_per_byte does"
    )
    assert not any("trade-off" in line for line in others)
    assert not any("no conclusion" in line for line in said("bits_per_byte", {"none": 1500, "lora": 400}))
