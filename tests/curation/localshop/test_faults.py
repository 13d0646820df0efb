from __future__ import annotations

import io

import pytest
from PIL import Image

from curation.localshop.faults import BAD_PAGES, REASONS, USUAL, Fault, plan_faults
from curation.localshop.pages import PRIVATE
from curation.localshop.plan import Markup, Way

WITH_PRODUCT = [kind for kind in Fault if kind not in BAD_PAGES]


def test_each_fault_has_a_product_of_its_own() -> None:
    faults = plan_faults(Fault, seed=1, after=100)
    assert [planted.fault for planted in faults.planted] == WITH_PRODUCT
    assert len({planted.image for planted in faults.planted}) == len(WITH_PRODUCT)
    assert len({planted.product.handle for planted in faults.planted}) == len(WITH_PRODUCT)
    assert faults.planted[0].product.handle.endswith("-0101")
    assert set(faults.bad_pages.values()) == set(BAD_PAGES)


def test_faults_do_not_depend_on_each_other() -> None:
    every = {planted.fault: planted for planted in plan_faults(Fault, seed=1).planted}
    (alone,) = plan_faults([Fault.LOOP], seed=1).planted
    assert alone == every[Fault.LOOP]
    assert alone != plan_faults([Fault.LOOP], seed=2).planted[0]


def test_a_stalled_body_is_not_usual() -> None:
    assert Fault.STALLED not in USUAL and len(USUAL) == len(Fault) - 1


def test_no_fault_means_nothing() -> None:
    faults = plan_faults((), seed=1)
    assert faults.planted == faults.outside == () and faults.bad_pages == {}


@pytest.mark.parametrize("name", ["odd-loop.jpg", "aside-odd-loop.jpg"])
def test_pictures_of_the_folder_are_not_hidden(name: str) -> None:
    (planted,) = plan_faults([Fault.LOOP], seed=1, names={name}).planted
    assert planted.image == "/media/odd-odd-loop.jpg"
    assert planted.aside == "/media/aside-odd-odd-loop.jpg"


def test_pictures_of_faults_are_sound() -> None:
    faults = plan_faults(Fault, seed=1)
    for planted in faults.planted[:2]:
        with Image.open(io.BytesIO(planted.data)) as image:
            image.load()
            assert image.size == (576, 720)
    (page,) = (p for p in faults.planted if p.fault is Fault.WEB_PAGE)
    assert page.data.startswith(b"<!DOCTYPE html>")


def test_what_is_off_limits_says_so() -> None:
    planted = {p.fault: p for p in plan_faults(Fault, seed=1).planted}
    assert planted[Fault.PRIVATE].image.startswith(PRIVATE)
    assert planted[Fault.TO_PRIVATE].aside.startswith(PRIVATE)
    assert planted[Fault.OPTED_OUT_PAGE].product.robots == "noai"
    # A sitemap that names pictures would lead past the page and what it asks for.
    assert planted[Fault.OPTED_OUT_PAGE].product.ways == {Way.LINKS}
    assert planted[Fault.NOFOLLOW].product.links == ("/products/unlisted",)
    assert planted[Fault.BAD_MARKUP].product.markup is Markup.MICRODATA


def test_reasons_are_given_for_all_that_never_arrives() -> None:
    arriving = {
        Fault.BUSY, Fault.HEALS, Fault.SLOW, Fault.MOVED, Fault.MISTYPED,
        Fault.PAGE_MOVED, Fault.PAGE_HEALS, Fault.BAD_MARKUP, Fault.NOFOLLOW,
    }  # fmt: skip
    assert set(REASONS) == set(WITH_PRODUCT) - arriving
