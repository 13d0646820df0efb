from __future__ import annotations

import pytest
from pydantic import ValidationError

from curation.ingest.filters import Condition, Filter, parse_fields


def _passes(config: Filter, tags: list[str], fields: dict[str, object]) -> bool:
    predicate = config.predicate()
    assert predicate is not None
    return predicate(tags, fields)


def test_no_filter_is_none() -> None:
    assert Filter().predicate() is None


def test_tags() -> None:
    config = Filter(include_tags=("1girl", "solo"), exclude_tags=("comic",))
    assert _passes(config, ["solo", "1girl", "hat"], {})
    assert not _passes(config, ["1girl"], {})
    assert not _passes(config, ["solo", "1girl", "comic"], {})


@pytest.mark.parametrize(
    ("where", "fields", "passes"),
    [
        ({"rating": ["s", "q"]}, {"rating": "s"}, True),
        ({"rating": ["s"]}, {"rating": "e"}, False),
        ({"rating": "s"}, {}, False),
        ({"score": {"min": 10}}, {"score": 10}, True),
        ({"score": {"min": 10}}, {"score": "9.5"}, False),
        ({"score": {"min": 10, "max": 20}}, {"score": 21}, False),
        ({"score": {"min": 10}}, {"score": "many"}, False),
        ({"score": {"min": 10}}, {"score": None}, False),
        ({"status": {"none_of": ["deleted"]}}, {}, True),
        ({"status": {"none_of": ["deleted"]}}, {"status": "deleted"}, False),
        ({"kids": False}, {"kids": "false"}, True),
        ({"kids": False}, {"kids": True}, False),
        ({"id": 7}, {"id": "7"}, True),
    ],
)
def test_where(where: dict[str, object], fields: dict[str, object], passes: bool) -> None:
    assert _passes(Filter.model_validate({"where": where}), [], fields) is passes


def test_unknown_and_empty_conditions_are_refused() -> None:
    with pytest.raises(ValidationError, match="at_least"):
        Filter.model_validate({"where": {"score": {"at_least": 3}}})
    with pytest.raises(ValidationError, match="at least one"):
        Condition()


def test_fields_that_are_no_object_are_none() -> None:
    assert parse_fields(None) == parse_fields("[1]") == parse_fields("{") == {}
    assert parse_fields('{"a": 1}') == {"a": 1}
