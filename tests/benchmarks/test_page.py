"""docs/performance.md and its plots show what `benchmarks/results.json` holds."""

from __future__ import annotations

import pytest

from benchmarks import page, plots, results


def test_the_page_is_that_of_the_results():
    text = page.PATH.read_text(encoding="utf-8")
    assert page.renewed(text, page.Tables(results.load()).all()) == text, "to renew it: make bench ARGS=page"


def test_the_plots_are_those_of_the_results():
    stale = [plot.path.name for plot in plots.plots(results.load()) if not plots.is_drawn(plot)]
    assert stale == [], "to renew them: make bench ARGS=page"


def test_a_table_takes_the_place_of_the_one_that_was_there():
    text = "before\n\n<!-- bench: one -->\n\n| old |\n|---|\n| x |\n\nafter\n"
    renewed = page.renewed(text, {"one": page.grid(("a", "b"), [("1", "2")])})
    assert renewed == "before\n\n<!-- bench: one -->\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nafter\n"
    assert page.renewed(renewed, {"one": page.grid(("a", "b"), [("1", "2")])}) == renewed


def test_a_mark_without_a_table_is_told():
    with pytest.raises(page.PageError, match="two"):
        page.renewed("<!-- bench: one -->\n\n<!-- bench: two -->\n\n", {"one": ""})
