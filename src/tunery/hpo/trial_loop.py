"""Takes one trial after the other, has it trained, and says in the study how it ended."""

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Final, final

from optuna.exceptions import StorageInternalError
from optuna.trial import Trial, TrialState

from tunery.errors import DiskFull, Interrupted, StudyFailed
from tunery.execution.devices import Devices, visible_devices
from tunery.execution.memory import MemoryLine, longest_row
from tunery.execution.observer import Observer
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo.analysis.trial_records import SPENT, results_of, spent, trial_folder, trial_record, values_of
from tunery.hpo.plan import Plan
from tunery.hpo.pruners.pruning import Pruning, most_epochs
from tunery.hpo.samplers.proposal import PARAMS, Proposal, baseline_proposal, identity, propose, recorded_proposal
from tunery.hpo.storage.trial_queue import TrialQueue
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.record import Status
from tunery.schema.results.run import RunResult
from tunery.schema.results.study import TrialRecord
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.conclude import finish
from tunery.train.memory.expected import Expected, expected
from tunery.train.memory.limit import memory_limit

NOTES: Final = "notes"
"""User attribute of a trial: what happened to it."""
WORKER: Final = "worker"
"""User attribute of a trial: host and number of the process that had it trained last."""

_UNFINISHED: Final = {"interrupted": Interrupted, "stopped": DiskFull}
"""Outcomes after which the trial can go on -> what ends the study, which the same command continues."""
_STATUS: Final[dict[str, Status]] = {
    "pruned": "pruned",
    **dict.fromkeys(("failed", "refused", "out_of_memory", "completed"), "failed"),
}
"""Outcome of a run without a result -> status of its trial; a run that says `completed` should have left a result."""
_STATES: Final = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_TRIALS_PER_BASELINE: Final = 4
"""Trials that a study has in all for each that is a simple model."""
_LOST: Final = "another worker has taken the trial over"
_REMEMBERED: Final = 50
"""Trials of earlier calls that the memory line learns from."""
_PAUSE: Final = 1.0
"""Seconds between two looks for a trial that another worker has lost."""


def _expected(trust_remote_code: bool, config: RunConfig, longest: int, limit: float) -> Expected | None:
    return expected(config, longest, limit=limit, trust_remote_code=trust_remote_code)


@final
class TrialLoop:
    """Has the trials of a study trained, `search.jobs` at once."""

    def __init__(
        self, plan: Plan, runner: Runner, *, shared: bool, leave: Stop, observer: Observer[TrialRecord]
    ) -> None:
        """Args:
        shared: whether workers elsewhere may be at the study too.
        leave: what asks the whole process to save and leave, if anything.
        """
        base = plan.base
        self._plan = plan
        self._settings = base.search
        self._runner = runner
        self._leave = leave
        self._observer = observer
        self.store = StudyStore(
            plan.out, base.checkpoint, direction=base.direction, candidates=base.search.candidates, say=observer.say
        )
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._shared = shared
        self._queue = TrialQueue(plan.study, worker=self._worker, shared=shared)
        self._pruning = Pruning(
            plan.study,
            base.search.pruner,
            objectives=dict(zip(base.objectives, base.directions, strict=True)),
            epochs=most_epochs(plan.document, rows=plan.rows),
        )
        self._memory = MemoryLine(
            limit=memory_limit(base.search.runs_per_device),
            longest=partial(longest_row, trust_remote_code=plan.trust_remote_code),
            expect=partial(_expected, plan.trust_remote_code),
        )
        self._devices = Devices(base.search, visible_devices())
        self._lock = threading.Lock()
        self._identities: dict[int, str] = {}
        self._taken = 0
        self._failures = 0
        self._exhausted = False
        self._error: BaseException | None = None

    def run(self, *, total: int | None = None, at_most: int | None = None) -> int:
        """Train until no trial is left, time is up, or `at_most` were taken. Returns how many were.

        Args:
            total: trials in the whole study; None: as many as the process that began it has set.

        Raises:
            Interrupted: when asked to leave; trials at work have saved their state.
            DiskFull: when there is no room; the study goes on once there is.
            StudyFailed: when too many trials in a row fail.
        """
        self._started = time.monotonic()
        if total is not None:
            self._queue.enqueue(total)
        completed = self._plan.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        for result in results_of(self._plan.out, [trial.number for trial in completed[-_REMEMBERED:]]).values():
            self._memory.learn(validate(result.config), result.memory, found=result.micro_batch_tokens)
        if self._settings.jobs == 1:
            self._take_trials(at_most)
        else:
            self._take_trials_in_threads(at_most)
        if self._error is not None:
            raise self._error
        if (by := self._leave()) is not None:
            raise Interrupted(f"{by} came; the same command goes on")
        return self._taken

    @property
    def notes(self) -> tuple[str, ...]:
        """What the study has to say of itself."""
        return ("every configuration of the space has been tried",) if self._exhausted else ()

    def train(self, job: Job) -> Outcome:
        """Train a run that is no trial, and is never pruned."""
        return self._train(job, prune=lambda epoch: None, stop=self._leave)[0]

    def _train(self, job: Job, *, prune: Prune, stop: Stop) -> tuple[Outcome, RunConfig]:
        """Train a run; where memory runs out, go on from its resume point with half as many tokens in a micro-batch."""
        job = replace(job, trust_remote_code=self._plan.trust_remote_code)
        while True:
            with self._devices.one() as device:
                outcome = self._runner.run(replace(job, device=device), prune=prune, stop=stop)
            if outcome.status != "out_of_memory":
                return outcome, job.config
            smaller = self._memory.halved(job.config, found=RunFolder(job.folder).progress().micro_batch_tokens)
            if smaller is None:
                return outcome, job.config
            job = replace(job, config=smaller)

    def _take_trials(self, at_most: int | None) -> None:
        """One trial after the other; what ends the study in one thread makes the others save and leave."""
        try:
            while (trial := self._next_trial(at_most)) is not None:
                with self._queue.holding(trial) as is_lost:
                    self._propose_and_train(trial, is_lost)
        except BaseException as error:
            self._error = self._error or error

    def _take_trials_in_threads(self, at_most: int | None) -> None:
        n_jobs = self._settings.jobs
        with ThreadPoolExecutor(n_jobs) as threads:
            try:
                wait([threads.submit(self._take_trials, at_most) for _ in range(n_jobs)])
            except BaseException as error:  # a second signal, which is not to wait for anything
                self._error = error
                self._runner.close()
                raise

    def _stop(self) -> str | None:
        return "the end of the study" if self._error is not None else self._leave()

    def _next_trial(self, at_most: int | None) -> Trial | None:
        timeout = self._settings.timeout
        while self._stop() is None and not self._exhausted:
            with self._lock:
                is_late = timeout is not None and self._taken > 0 and time.monotonic() - self._started > timeout
                if self._taken == at_most or is_late:
                    return None
                if (trial := self._queue.claim()) is not None:
                    self._taken += 1
                    return trial
            if not self._queue.open():
                return None
            time.sleep(_PAUSE)  # another worker may lose the trial that it has
        return None

    def _propose_and_train(self, trial: Trial, is_lost: Callable[[], bool]) -> None:
        with self._lock:  # no two threads propose the same
            proposal = self._proposal(trial)
            is_held = proposal is not None and self._queue.write(
                trial,
                {WORKER: self._worker, **proposal.attributes()},
                system_attributes=proposal.notes,
                params=proposal.stored(),
            )
        if proposal is None:
            self._exhausted = True
            self._queue.release(trial)
        elif is_held:
            self._train_trial(trial, proposal, is_lost)

    def _train_trial(self, trial: Trial, proposal: Proposal, is_lost: Callable[[], bool]) -> None:
        title = f"trial {trial.number}" + (f" ({proposal.baseline})" if proposal.baseline else "")
        self._observer.started(title, number=trial.number + 1, total=self._settings.n_trials)
        admitted = self._memory.admit(proposal.config)
        if isinstance(admitted, str):
            return self._end(trial, proposal.config, Outcome("pruned", admitted))
        job = Job(
            config=admitted,
            folder=trial_folder(self._plan.out, trial.number).path,
            study=self._plan.out,
            title=title,
            alone=self._settings.jobs == 1,
        )
        epochs = admitted.train.epochs_for(self._plan.rows)
        prune: Prune = partial(self._prune, trial, epochs=epochs) if proposal.baseline is None else lambda epoch: None
        outcome, config = self._train(
            job,
            prune=lambda epoch: _LOST if is_lost() else prune(epoch),
            stop=lambda: _LOST if is_lost() else self._stop(),
        )
        if not is_lost():
            self._note_smaller_batches(trial, proposal.config, config)
            self._end(trial, config, outcome)

    def _prune(self, trial: Trial, epoch: Epoch, *, epochs: int) -> str | None:
        try:
            if epoch.is_fold:
                return self._pruning.prune_after_fold(trial, epoch, p_value=self._settings.fold_p_value)
            return self._pruning.prune(trial, epoch, epochs=epochs)
        except (Interrupted, StorageInternalError):
            if self._stop() is None:
                raise
            return None  # a trial that is to leave saves its epoch, whether the database answers or not

    def _proposal(self, trial: Trial) -> Proposal | None:
        """The parameters that the trial has, else new ones; None where no configuration is left that was not tried."""
        plan = self._plan
        recorded = recorded_proposal(trial.user_attrs, plan.document, plan.base)
        if recorded is not None:
            return recorded
        baselines = plan.baselines[: self._queue.length() // _TRIALS_PER_BASELINE]
        if trial.number < len(baselines):
            return baseline_proposal(baselines[trial.number], plan.base)
        for other in plan.study.get_trials(deepcopy=False):
            if other.number not in self._identities and PARAMS in other.user_attrs:
                self._identities[other.number] = identity(other.user_attrs[PARAMS])
        seen = set(self._identities.values())
        return propose(
            plan.study,
            trial,
            plan.document,
            self._settings,
            seed=plan.base.seed,
            seen=seen,
            baselines=len(baselines),
        )

    def _note_smaller_batches(self, trial: Trial, proposed: RunConfig, trained: RunConfig) -> None:
        before, after = proposed.train.micro_batch_tokens, trained.train.micro_batch_tokens
        if after != before:
            note = f"memory ran out (train.micro_batch_tokens: {before}); went on with {after:,} tokens in a pass"
            self._queue.write(trial, {NOTES: [*trial.user_attrs.get(NOTES, ()), note]})

    def _end(self, trial: Trial, config: RunConfig, outcome: Outcome) -> None:
        if outcome.status in _UNFINISHED:
            self._release(trial)
            raise _UNFINISHED[outcome.status](outcome.reason)
        plan, folder = self._plan, trial_folder(self._plan.out, trial.number)
        result = folder.result() or self._write_result(folder, config, _STATUS[outcome.status], outcome.reason)
        if result.status == "completed" and result.objective.value is None:
            result = self._write_result(folder, config, "failed", f"{config.objective} is undefined")
        if result.status == "completed":
            self._memory.learn(config, result.memory, found=result.micro_batch_tokens)
        values = values_of(result, plan.base.objectives) if result.status == "completed" else None
        attributes = {SPENT: spent(result, plan.base.objectives)} if self._shared else {}
        if self._queue.tell(trial, _STATES[result.status], values, attributes=attributes):
            ended = plan.study.get_trials(deepcopy=False)[trial.number]
            self._observer.ended(trial_record(ended, plan.out, document=plan.document, base=plan.base))
        self._count_failures(result)

    def _release(self, trial: Trial) -> None:
        """Let others, or the next call, have the trial at once."""
        try:
            self._queue.release(trial)
        except (Interrupted, StorageInternalError):
            if (by := self._leave()) is None:
                raise
            what = f"{by} came, and the study's database did not answer"
            late = f"trial {trial.number} is taken up {self._queue.lease:g} s after its last sign of life"
            raise Interrupted(f"{what}; the same command goes on, and {late}") from None

    def _write_result(self, folder: RunFolder, config: RunConfig, status: Status, reason: str | None) -> RunResult:
        return finish(self.store, folder, config, status, progress=folder.progress(), reason=reason)

    def _count_failures(self, result: RunResult) -> None:
        with self._lock:
            self._failures = self._failures + 1 if result.status == "failed" else 0
        if self._failures >= self._settings.max_failures:
            raise StudyFailed(f"{self._failures} trials in a row failed, the last with: {result.reason}")
