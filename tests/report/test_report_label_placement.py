"""Names beside points: near them, inside, and off one another."""

import math
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tunery.report.charts.label_placement import Box, placed

WITHIN = Box(0, 0, 1000, 400)
PIXELS = st.tuples(st.floats(min_value=0, max_value=1000), st.floats(min_value=0, max_value=400))


@given(st.lists(PIXELS, min_size=1, max_size=20))
def test_twenty_names_fit_wherever_their_points_are(points: list[tuple[float, float]]):
    boxes = placed(points, [(70.0, 14.0)] * len(points), within=WITHIN)
    for one, other in combinations(boxes, 2):
        assert one.shared(other) < 0.05 * 70 * 14
    assert all(box.shared(WITHIN) > 0.95 * 70 * 14 for box in boxes)


def test_a_lone_name_stands_to_the_right_of_its_point():
    (box,) = placed([(500, 200)], [(70, 14)], within=WITHIN)
    assert box.left > 500 and math.isclose((box.bottom + box.top) / 2, 200)


def test_a_name_at_the_right_edge_goes_elsewhere_and_keeps_off_a_line():
    line = [(float(x), 200.0) for x in range(0, 1000, 5)]
    (box,) = placed([(990, 200)], [(70, 14)], within=WITHIN, avoided=line)
    assert box.right <= 1000
    assert not any(map(box.holds, line))
