"""What a comparison has so far: its cells, the one model it keeps, and the files it writes about them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from tunery.comparison.cells import CellJob
from tunery.comparison.conclusions import conclusions
from tunery.comparison.summary import method_summaries
from tunery.execution.runner import Outcome
from tunery.pages import write_comparison_page
from tunery.report import comparison_csv, comparison_png
from tunery.schema import RunConfig
from tunery.schema.results.comparison import Cell, ComparisonResult
from tunery.schema.results.ranking import ranking_key
from tunery.store.disk.files import remove_tree, replace_folder, write_bytes, write_text
from tunery.store.disk.ownership import BEST
from tunery.store.features import Features
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of

WriteRecords = Callable[[ComparisonResult, Path], None]
"""Writes what a comparison has found into its folder."""


def write_records(result: ComparisonResult, out: Path) -> None:
    """The comparison's table, picture and page; `comparison.json` comes last."""
    write_text(out / "comparison.csv", comparison_csv(result))
    write_bytes(out / "comparison.png", comparison_png(result))
    write_comparison_page(result, out)
    write_text(out / "comparison.json", result.model_dump_json(indent=1))


@final
class ComparisonStore:
    """The cells of a comparison, those of earlier calls included."""

    def __init__(
        self,
        own: RunConfig,
        out: Path,
        *,
        baseline: str,
        before: ComparisonResult | None,
        methods: Sequence[str],
        write: WriteRecords = write_records,
    ) -> None:
        """Args:
        own: the config that all methods have in common.
        before: what earlier calls have found.
        """
        self.out = out
        self.features = Features(out)
        self._write = write
        self._own = own
        self._baseline = baseline
        names_before = [summary.method for summary in before.methods] if before else []
        self._methods = tuple(dict.fromkeys([*names_before, *methods]))
        self._cells = {(cell.method, cell.seed): cell for cell in before.cells} if before else {}

    def is_complete(self, cells: Sequence[CellJob]) -> bool:
        """Whether all these cells are known as completed, and nothing is left of the work on them."""
        records = [self._cells.get((cell.method, cell.seed)) for cell in cells]
        completed = all(record is not None and record.status == "completed" for record in records)
        return completed and not self.features.used()

    def add(self, planned: CellJob, outcome: Outcome | None = None) -> Cell:
        """Add a cell: from its own record, or as failed."""
        result = planned.folder.result()
        reason = None if result else (outcome and outcome.reason) or "it left no result"
        scored = result and (result.metrics.test if result.metrics.oof is None else result.metrics.oof)
        cell = Cell(
            method=planned.method,
            seed=planned.seed,
            status="completed" if result else "failed",
            value=scored.get(result.objective.name) if result and scored else None,
            folder=str(planned.folder.path.relative_to(self.out)),
            reason=reason,
            result=result,
        )
        self._cells[cell.method, cell.seed] = cell
        self._keep_the_best()
        return cell

    def make_room(self, planned: CellJob) -> None:
        """A failed cell that is tried again and left no resume point begins anew, its costs included."""
        cell = self._cells.get((planned.method, planned.seed))
        if cell is not None and cell.status == "failed" and planned.folder.resume.latest() is None:
            planned.folder.start_over()

    def write(self) -> ComparisonResult:
        """Write what there is so far, `comparison.json` last."""
        result = self._result()
        self._write(result, self.out)
        return result

    def _result(self) -> ComparisonResult:
        """The comparison so far; methods without a cell are left out until they have one."""
        order = {name: index for index, name in enumerate(self._methods)}
        cells = tuple(sorted(self._cells.values(), key=lambda cell: (cell.seed, order[cell.method])))
        direction, begun = self._own.direction, {cell.method for cell in cells}
        names = [name for name in self._methods if name in begun or name == self._baseline]
        summaries = method_summaries(cells, methods=names, baseline=self._baseline, direction=direction)
        results = [cell.result for cell in cells if cell.result is not None]
        stages = {stage.digest: stage.seconds for result in results for stage in result.pretraining}
        return ComparisonResult(
            name=self._own.name,
            objective=self._own.objective,
            direction=direction,
            baseline=self._baseline,
            seeds=tuple(sorted({cell.seed for cell in cells})),
            methods=summaries,
            cells=cells,
            verdicts=conclusions(summaries, cells, baseline=self._baseline, direction=direction),
            best=self._best(),
            disk=storage_of(self.out).disk,
            seconds=sum(result.seconds.total for result in results) + sum(stages.values()),
            environment=next((result.environment for result in results if result.environment), None),
            finished_at=datetime.now(UTC),
        )

    def _best(self) -> Cell | None:
        """The cell with the best objective on validation."""
        keys = {
            key: ranking_key(
                cell.result.objective.value,
                cell.result.loss,
                cell.seed,
                self._methods.index(cell.method),
                direction=self._own.direction,
            )
            for key, cell in self._cells.items()
            if cell.result is not None and cell.result.objective.value is not None
        }
        return self._cells[min(keys, key=lambda key: keys[key])] if keys else None

    def _keep_the_best(self) -> None:
        """Move the best cell's model to `best/` and free all others; whenever this stops, the best one is there."""
        best = self._best()
        if best is None:
            return
        model = self.out / best.folder / BEST
        if model.is_dir():
            replace_folder(model, self.out / BEST)
        for cell in self._cells.values():
            if cell.result is not None:
                _free(RunFolder(self.out / cell.folder))


def _free(cell: RunFolder) -> None:
    """Remove the weights of a finished cell, equals of its best epoch included."""
    cell.write_kept(())
    cell.objects.clear()
    remove_tree(cell.path / BEST)
