"""The rules as the report shows them."""

from __future__ import annotations

from curation.judging import Rules
from curation.stages.report import rule_views


def test_every_threshold_of_every_rule_is_shown() -> None:
    rules = Rules()
    views = rule_views(rules)
    assert {view.reason for view in views} == {rule.reason for rule in rules.all()}
    shown = [(view.reason, view.column, view.threshold) for view in views if view.column]
    expected = [(r.reason, t.column, t.limit) for r in rules.all() for t in r.thresholds()]
    assert shown == expected
