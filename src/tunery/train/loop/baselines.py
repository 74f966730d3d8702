"""Simple models on the rows of a run, by which its scores are read: what each reaches, and in how many seconds."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from tunery.errors import ModelError
from tunery.schema import RunConfig
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import AutoHead
from tunery.schema.config.peft import WITHOUT_STEPS, Majority, Peft, Probe, Tfidf
from tunery.schema.results.run import Baseline, Metrics
from tunery.store.folder import RunFolder
from tunery.train.loop.probing import fit_head
from tunery.train.loop.state import random_state, restore_random_state
from tunery.train.predict.inference import Answerer, Network, Predictor
from tunery.train.predict.scoring import score, state_in
from tunery.train.predict.text_network import TextNetwork
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.prepare import Prepared
from tunery.train.text_runs import fit_text

_METHODS: Final[dict[str, Peft]] = {"majority": Majority(), "tfidf": Tfidf(), "probe": Probe()}
"""The methods of `train.baselines`, from the simplest on."""


def known_baselines(
    config: RunConfig, prepared: Prepared, folder: RunFolder, *, say: Callable[[str], None]
) -> tuple[Baseline, ...]:
    """Fit and score what `train.baselines` names, as far as it is simpler than the run itself and fits task and model:
    once in the life of the run or study in `folder`.

    The random state is left as it is: a run is the same with baselines and without.

    Args:
        say: is told what each reaches on validation.
    """
    if (known := folder.baselines()) is not None:
        return known
    before = random_state()
    try:
        measured = tuple(_measured(config, prepared, say))
    finally:
        restore_random_state(before)
    folder.write_baselines(measured)
    return measured


def _measured(config: RunConfig, prepared: Prepared, say: Callable[[str], None]) -> Iterator[Baseline]:
    task, validation, test = prepared.task, prepared.splits.validation, prepared.splits.test
    if len(task.outputs) != 1 or task.label_numbers(prepared.truth["train"]) is None:
        return
    for method in _simpler(config):
        began = time.perf_counter()
        try:
            model = _fitted(_METHODS[method], config, prepared)
        except ModelError as error:
            say(f"no {method} beside this run: {error}")
            continue
        answers = model.answers(validation.examples)
        metrics = score(task, answers, prepared.truth["validation"])
        predictor = Predictor(model, task=task, config=config, state=state_in(task, metrics))
        on_test, without_block = predictor.jackknife(test.examples, predictor.answers(test.examples))
        seconds, value = time.perf_counter() - began, metrics[config.objective]
        if value is not None:
            say(f"{method}: validation {config.objective} {value:.4f} in {seconds:.1f} s")
        scores = Metrics(validation=metrics, test=on_test, test_without_block=without_block)
        yield Baseline(method=method, metrics=scores, seconds=seconds)


def _simpler(config: RunConfig) -> list[str]:
    names = [*_METHODS]
    if isinstance(config.peft, WITHOUT_STEPS):
        names = ["majority"] if not isinstance(config.peft, Majority) else []
    elif config.model.quantization is not None:
        names.remove("probe")  # its base would be there a second time, in full
    return [name for name in names if name in config.train.baselines]


def _fitted(spec: Peft, config: RunConfig, prepared: Prepared) -> Answerer:
    if not isinstance(spec, Probe):
        return TextNetwork(fit_text(spec, prepared, seed=config.seed), task=prepared.task)
    model = config.model.model_copy(update={"head": AutoHead()})
    config = config.model_copy(update={"model": model, "peft": spec, "freeze": NoFreeze()})
    config = with_resolved_head(config, prepared)
    run = assemble(config, prepared)
    fit_head(run)
    return Network(run.built.module, prepared.tokenizer, config=config, task=prepared.task)
