"""The search for the most rows that fit, on machines that are arithmetic."""

from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st

from tunery.train.memory.search import PROBES, Found, Line, most_rows

MB = 10**6


@dataclass
class Machine:
    """Passes take `activations` beside the gradients, and fail above the room."""

    activations: Line
    gradients: int
    state: int
    room: float
    tried: list[int] = field(default_factory=list)
    failed: int = 0

    def probe(self, rows: int) -> int | None:
        self.tried.append(rows)
        taken = self.gradients + self.activations.at(rows)
        if taken > self.room:
            self.failed += 1
            return None
        return int(taken)

    @property
    def most(self) -> int:
        """By the definition of a line."""
        return max(int((self.room - self.taken(0)) / self.activations.each), 0)

    def taken(self, rows: int) -> float:
        return self.gradients + self.state + self.activations.at(rows)

    def search(self, predicted: Line | None, *, most: int = 1_000_000, ratio: float | None = None) -> Found:
        fixed = self.gradients + self.state
        return most_rows(
            predicted,
            gradients=self.gradients,
            fixed=fixed,
            room=self.room,
            most=most,
            probe=self.probe,
            share=0.92,
            ratio=ratio,
        )


machines = st.builds(
    Machine,
    st.builds(Line, st.floats(0, 20 * MB), st.floats(1 * MB, 50 * MB)),
    st.integers(1, 400 * MB),
    st.integers(1, 800 * MB),
    st.floats(1000 * MB, 30_000 * MB),
)


@given(machines, st.floats(0.75, 1.45))
def test_nine_tenths_of_what_fits_in_three_passes_and_never_too_much(machine: Machine, ratio: float) -> None:
    assume(machine.most >= 1)
    found = machine.search(machine.activations.times(1 / ratio))
    assert machine.failed == 0 and found.probes == len(machine.tried) <= PROBES
    assert int(0.9 * machine.most) <= found.rows <= machine.most
    assert found.ratio is not None and abs(found.ratio / ratio - 1) < 0.01


@given(machines)
def test_without_a_prediction_too(machine: Machine) -> None:
    assume(machine.most >= 4)
    found = machine.search(None)
    assert machine.failed == 0 and len(machine.tried) <= PROBES and found.ratio is None
    assert int(0.9 * machine.most) <= found.rows <= machine.most


@given(machines)
def test_a_known_ratio_needs_no_pass(machine: Machine) -> None:
    found = machine.search(machine.activations.times(1 / 1.2), ratio=1.2)
    assert machine.tried == [] and found.rows <= machine.most
    room = machine.room - machine.gradients - machine.state
    assert machine.activations.at(found.rows + 1) > 0.92 * room - 1


@given(machines, st.integers(1, 20))
def test_what_fits_by_far_is_not_tried_and_a_step_has_no_more_rows_than_it_has(machine: Machine, most: int) -> None:
    found = machine.search(machine.activations, most=most)
    assert found.rows <= most
    if machine.taken(most) + 0.5 * machine.activations.at(most) < machine.room:
        assert machine.tried == [] and found.rows == most


def test_a_prediction_that_is_much_too_low_is_survived() -> None:
    machine = Machine(Line(0, 100 * MB), gradients=0, state=0, room=1000 * MB)
    found = machine.search(Line(0, 10 * MB))
    assert machine.failed > 0 and 1 <= found.rows <= 10 and len(machine.tried) <= PROBES


def test_where_not_one_row_fits_none_is_found() -> None:
    machine = Machine(Line(0, 100 * MB), gradients=0, state=0, room=50 * MB)
    assert machine.search(Line(0, 100 * MB)).rows == 0
    assert machine.search(None).rows == 0


def test_after_a_pass_that_failed_one_that_went_well_is_taken() -> None:
    """A machine of which more is lost than its first pass tells."""
    machine = Machine(Line(0, 37 * MB), gradients=0, state=0, room=482 * MB)

    def probe(rows: int) -> int | None:
        tried.append(rows)
        return 37 * MB * rows if rows < 12 else None

    tried: list[int] = []
    found = most_rows(Line(0, 24 * MB), gradients=0, fixed=0, room=machine.room, most=64, probe=probe, share=0.97)
    assert tried == [6, 12, 9] and found.rows == 9
    tried.clear()
    assert most_rows(None, gradients=0, fixed=0, room=machine.room, most=64, probe=lambda _: None, share=0.9).rows == 0
