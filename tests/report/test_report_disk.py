"""What a page says about the disk."""

from typing import get_args

import pytest

from page_reader import ATTACK, Page, checked
from report_records import make_comparison, make_lines, make_run, make_storage, make_study
from tunery.report import comparison_html, run_html, study_html
from tunery.report.compute.disk import KINDS, holdings, largest, saved_sentence, short_path
from tunery.schema.results.storage import Storage, StoredItem


def in_words(texts: list[tuple[str, str]]) -> str:
    return " ".join(text for _, text in texts)


PAGES = {
    "run": lambda storage: run_html(make_run(), metrics=make_lines(), storage=storage),
    "study": lambda storage: study_html(make_study(3, seed=2), storage=storage),
    "comparison": lambda storage: comparison_html(make_comparison(2, seeds=1), storage=storage),
}


@pytest.mark.parametrize("kind", PAGES)
def test_every_page_says_what_is_kept_why_and_what_that_saves(kind: str):
    page = checked(PAGES[kind](make_storage()))
    assert "Disk" in page.text_of("h2")
    words = in_words(page.texts)
    assert (
        "1.34 MB of weights and training state; keeping every checkpoint would have taken 216 MB: 99.4 % saved."
        in words
    )
    assert "Beside them 84 kB of records" in words and "the study's database" not in words
    assert "best epoch of trial 7" in page.text_of("td") and "objects/ab12ab12ab12….safetensors" in page.text_of("code")
    assert page.text_of("dd").count("1.34 MB kept of 216 MB") == 1, "the tile says what the section says"


def test_two_bars_on_one_scale_show_what_is_kept_of_everything():
    bars = [
        a["style"] for tag, a in page_of(make_storage(keep_all=2_670_060)).tags if "width:" in (a.get("style") or "")
    ]
    assert bars[-2:] == ["width:50.0%", "width:100.0%"]
    empty = Storage(items=(), bytes=5, record_bytes=0, keep_all_bytes=0)
    bars = [a["style"] for tag, a in page_of(empty).tags if "width:100.0%" in (a.get("style") or "")]
    assert not bars, "nothing to compare with"


def test_a_page_without_an_inventory_has_no_such_section():
    assert "Disk" not in checked(run_html(make_run(), metrics=[])).text_of("h2")


def page_of(storage: Storage) -> Page:
    return checked(run_html(make_run(), metrics=[], storage=storage))


def test_of_many_items_the_largest_are_shown_and_the_rest_is_summed():
    cells = page_of(make_storage(resume=40)).text_of("td")
    assert "and 31 more, 4.96 kB" in cells and "resume point at step 320" in cells
    assert "resume point at step 310" not in cells


def test_orphans_are_told_apart_and_nothing_kept_is_said():
    told = in_words(page_of(make_storage(orphans=3)).texts)
    assert "3 orphans, 6 kB, that nothing refers to: tunery clean --delete removes them." in " ".join(told.split())
    assert "left by a process" not in told
    empty = Storage(items=(), bytes=0, record_bytes=12, keep_all_bytes=0)
    told = in_words(page_of(empty).texts)
    assert "0 B of weights and training state. No weights are kept. Beside them 12 B of records" in told


def test_a_folder_that_holds_more_than_its_checkpoints_saves_nothing_and_claims_nothing():
    assert saved_sentence(900, 500).replace("\N{NO-BREAK SPACE}", " ") == "900 B of weights and training state"
    page = page_of(make_storage(keep_all=1_000))
    assert "1.34 MB" in page.text_of("dd") and "kept" in page.text_of("dd") and "Disk saved" not in page.text_of("dt")


def test_paths_and_reasons_stay_text():
    item = StoredItem(path=ATTACK, kind="best", why=ATTACK, bytes=1)
    page = page_of(Storage(items=(item,), bytes=1, record_bytes=0, keep_all_bytes=1))
    assert ATTACK in page.text_of("td") and ATTACK in page.text_of("code")


def test_every_kind_has_a_name_and_a_place():
    kinds = get_args(StoredItem.model_fields["kind"].annotation)
    assert set(KINDS) == set(kinds)
    items = tuple(StoredItem(path=kind, kind=kind, why="", bytes=1) for kind in kinds)
    held = holdings(Storage(items=items, bytes=4, record_bytes=1, keep_all_bytes=0))
    assert sorted(item.kind for part in held for item in part) == sorted(kinds)
    assert [item.kind for item in (*held.orphans, *held.records)] == ["orphan", "records"]


@pytest.mark.parametrize(("count", "shown", "rest"), [(0, 0, ""), (4, 4, ""), (5, 3, "and 2 more, 3 B")])
def test_a_list_is_cut_where_that_makes_it_shorter(count: int, shown: int, rest: str):
    items = [StoredItem(path=str(n), kind="best", why="", bytes=n) for n in range(1, count + 1)]
    found = largest(items, 3)
    assert (len(found.items), found.rest.replace("\N{NO-BREAK SPACE}", " ")) == (shown, rest)
    assert list(found.items) == sorted(items, key=lambda item: -item.bytes)[:shown]


def test_digests_in_paths_are_cut_and_nothing_else():
    digest = "0123456789abcdef" * 4
    assert short_path(f"objects/{digest}.safetensors") == "objects/0123456789ab….safetensors"
    assert short_path("trials/12/resume/step-120.json") == "trials/12/resume/step-120.json"
