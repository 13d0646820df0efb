import pytest
from pydantic import BaseModel, ValidationError

from training.config import Section, TrainingConfig

SECTIONS = {
    name: field.annotation
    for name, field in TrainingConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


def test_every_setting_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, section in SECTIONS.items()
        for key, field in section.model_fields.items()
        if not field.description
    ]
    assert undescribed == []
    assert set(SECTIONS) == set(TrainingConfig.model_fields) - {"preset"}


def test_every_default_is_allowed() -> None:
    for section in SECTIONS.values():
        defaults = section().model_dump()
        assert section.model_validate(defaults).model_dump() == defaults


@pytest.mark.parametrize("name", SECTIONS)
def test_sections_are_frozen_and_know_no_other_keys(name: str) -> None:
    section = SECTIONS[name]
    assert issubclass(section, Section)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section(), next(iter(section.model_fields)), 1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        section.model_validate({"no_such_key": 1})


def test_a_configuration_survives_json() -> None:
    config = TrainingConfig.model_validate(
        {"data": {"tags": ["pov"], "fold": "2/5"}, "loss": {"r1_gamma": 0.1}}
    )
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("augment", "target", 1.0),
        ("augment", "p", 1.1),
        ("loss", "r1_gamma", -1),
        ("loss", "pl_decay", 0),
        ("optimizer", "G_lr", 0),
        ("optimizer", "beta1", 1),
        ("optimizer", "batch", 0),
        ("data", "fold", "2-5"),
        ("run", "tick_kimg", 0),
        ("run", "keep_last", 0),
        ("run", "seed", -1),
        ("network", "half", "int8"),
    ],
)
def test_values_out_of_range_are_refused(section: str, key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        TrainingConfig.model_validate({section: {key: value}})


def test_what_suits_product_pictures_is_the_default() -> None:
    """White backgrounds and one orientation: why, says the documentation of the augmentations."""
    augment, data = TrainingConfig().augment, TrainingConfig().data
    assert augment.luma_flip == augment.rotate90 == 0
    assert augment.xflip == 1
    assert not data.mirror
