"""One run on disk: its config, records, weights and resume points."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, final
from zipfile import BadZipFile

from pydantic import ConfigDict, TypeAdapter

from tunery.errors import Damaged
from tunery.schema.results.doubtful_rows import DoubtfulRows
from tunery.schema.results.record import Record
from tunery.schema.results.run import Baseline, CheckpointRecord, Progress, RunResult
from tunery.schema.results.worst_rows import WorstRows
from tunery.store.disk.files import recover, remove, remove_tree, write_bytes, write_text
from tunery.store.disk.ownership import (
    ANSWERS,
    BASELINES,
    BEST,
    DOUBTS,
    FILES,
    LOCK,
    MARK,
    OBJECTS,
    RESUME,
    WORST_ROWS,
    temporary,
)
from tunery.store.objects.objects import Objects
from tunery.store.records import read_json, read_record
from tunery.store.resume import ResumePoints

if TYPE_CHECKING:
    import numpy.typing as npt

_KEPT: Final = TypeAdapter(tuple[CheckpointRecord, ...])
_BASELINES: Final = TypeAdapter(tuple[Baseline, ...])


class _Written(Record):
    """What a look over thousands of runs reads of each."""

    model_config = ConfigDict(extra="ignore")

    written_bytes: int


@final
class RunFolder:
    """A run's or trial's folder."""

    def __init__(self, path: Path, *, objects: Objects | None = None) -> None:
        """Args:
        path: the folder; it need not exist.
        objects: where the weights lie, if not in the folder itself: trials share those of their study.
        """
        self.path = path
        self.objects = objects or Objects(path / OBJECTS)
        self.resume = ResumePoints(path / RESUME, self.objects)
        self.metrics = path / "metrics.jsonl"
        self.staging = temporary(path / "staging")
        """For files of this process that are useless once it has ended."""
        self._kept = path / "checkpoints.json"

    def result(self) -> RunResult | None:
        """The run's result, if it is finished."""
        return read_record(self.path / "result.json", RunResult)

    def is_finished(self) -> bool:
        """Whether the run has a result."""
        return (self.path / "result.json").exists()

    def written_bytes(self) -> int:
        """Bytes that keeping every checkpoint of the run, uncompressed, would have taken until now."""
        for name in ("result.json", "progress.json"):
            if (record := read_record(self.path / name, _Written)) is not None:
                return record.written_bytes
        return 0

    def progress(self) -> Progress:
        """What is known of the run so far."""
        return read_record(self.path / "progress.json", Progress) or Progress()

    def write_progress(self, progress: Progress) -> None:
        """Record what is known of the run so far."""
        write_text(self.path / "progress.json", progress.model_dump_json(indent=1))

    def kept(self) -> tuple[CheckpointRecord, ...]:
        """The epochs whose weights are kept: the best, then its ties."""
        return read_json(self._kept, _KEPT.validate_json) or ()

    def best(self) -> CheckpointRecord | None:
        """The best epoch so far, if its weights are kept."""
        return next((record for record in self.kept() if record.kind == "best"), None)

    def write_kept(self, records: Sequence[CheckpointRecord]) -> None:
        """Say which epochs' weights are kept; others may be removed. A run that keeps none has no such file."""
        if tuple(records) == self.kept():
            return
        if not records:
            remove(self._kept)
            return
        entries = [record.model_dump(mode="json") for record in records]
        write_text(self._kept, json.dumps(entries, indent=1))

    def write_result(self, result: RunResult) -> None:
        """Write `result.json`, the mark of a finished run."""
        write_text(self.path / "result.json", result.model_dump_json(indent=1))

    def baselines(self) -> tuple[Baseline, ...] | None:
        """What simple models reach on the run's rows; None: it is not known yet."""
        return read_json(self.path / BASELINES, _BASELINES.validate_json)

    def write_baselines(self, baselines: tuple[Baseline, ...]) -> None:
        """Record what simple models reach."""
        write_text(self.path / BASELINES, _BASELINES.dump_json(baselines, indent=1).decode())

    def answers(self) -> "dict[str, npt.NDArray[Any]] | None":
        """What the run's model answers about its test rows, where that is kept, as named arrays."""
        import numpy as np

        try:
            with np.load(self.path / ANSWERS, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, BadZipFile) as error:
            raise Damaged(f"{str(self.path / ANSWERS)!r} is not what was written there: {error}") from error

    def write_answers(self, answers: "Mapping[str, npt.NDArray[Any]]") -> None:
        """Keep what the run's model answers about its test rows."""
        import numpy as np

        content = BytesIO()
        np.savez(content, **cast(dict[str, Any], answers))
        write_bytes(self.path / ANSWERS, content.getbuffer())

    def worst_rows(self) -> WorstRows | None:
        """The rows that the run's model answers worst, where that is recorded."""
        return read_record(self.path / WORST_ROWS, WorstRows)

    def write_worst_rows(self, rows: WorstRows) -> None:
        """Record the rows that the run's model answers worst."""
        write_text(self.path / WORST_ROWS, rows.model_dump_json(indent=1))

    def doubtful_rows(self) -> DoubtfulRows | None:
        """The training rows that are worth a look, where that is recorded."""
        return read_record(self.path / DOUBTS, DoubtfulRows)

    def write_doubtful_rows(self, rows: DoubtfulRows) -> None:
        """Record the training rows that are worth a look."""
        write_text(self.path / DOUBTS, rows.model_dump_json(indent=1))

    def forget_texts(self) -> None:
        """Take the texts of rows out of the run's records."""
        if (doubtful := self.doubtful_rows()) is not None and doubtful.has_texts:
            self.write_doubtful_rows(doubtful.without_texts())
        if (rows := self.worst_rows()) is not None and rows.has_texts:
            self.write_worst_rows(rows.without_texts())

    def is_closed(self) -> bool:
        """Whether nothing is left of the work on a finished run."""
        return not (self.path / "progress.json").exists()

    def close(self) -> None:
        """Remove what only an unfinished run needs; `progress.json`, which says that something is left, goes last."""
        self.resume.clear()
        recover(self.path)  # the staging folder too, whichever process made it
        (self.path / "progress.json").unlink(missing_ok=True)

    def start_over(self) -> None:
        """Remove all that a run has left, so that it begins anew; its folder stays tunery's."""
        self.resume.clear()
        self.objects.clear()
        remove_tree(self.path / BEST)
        for name in FILES:
            if name not in (MARK, LOCK):
                remove(self.path / name)
