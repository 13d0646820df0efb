from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urljoin

import extruct
import pytest
from lxml import etree, html

from curation.localshop.pages import (
    PER_PAGE,
    PRIVATE,
    SAMPLES,
    Pages,
    is_forbidden,
    sized,
    stylesheet,
)
from curation.localshop.plan import (
    NOUNS,
    Form,
    Gallery,
    Markup,
    Product,
    Shop,
    Sizes,
    Way,
    media_path,
    plan_shop,
)

BASE = "http://127.0.0.1:8000"
SHOP = plan_shop([f"{noun}-{i:02d}.jpg" for noun in NOUNS for i in range(20)], seed=5)
PAGES = Pages(SHOP, BASE, lambda _: 600)
NAMESPACES = {
    "s": "http://www.sitemaps.org/schemas/sitemap/0.9",
    "i": "http://www.google.com/schemas/sitemap-image/1.1",
}
MARKED = [p for p in SHOP.products if p.markup is not Markup.NONE]


def described(product: Product) -> dict[str, Any]:
    """Read a product's page with a library that knows all dialects."""
    data = extruct.extract(
        PAGES.product(product),
        base_url=BASE + product.path,
        syntaxes=["json-ld", "microdata", "opengraph"],
        uniform=True,
    )
    filled = [kind for kind, found in data.items() if found]
    assert filled == [product.markup.value]
    (about,) = data[product.markup.value]
    if "@graph" in about:
        about = next(node for node in about["@graph"] if node["@type"] == "Product")
    return about


def images_of(page: str, product: Product) -> set[str]:
    """Give whatever a page says in its gallery about pictures in full size."""
    gallery = html.fromstring(page).xpath('//div[@class="gallery"]')[0]
    found = gallery.xpath(".//a/@href") + gallery.xpath(".//img/@src")
    for srcset in gallery.xpath(".//@srcset"):
        found.append(srcset.split(", ")[-1].split(" ")[0])
    return {str(url).partition("?utm_")[0] for url in found} & set(product.images)


@pytest.mark.parametrize("markup", [Markup.JSON_LD, Markup.MICRODATA, Markup.OPENGRAPH])
def test_every_dialect_says_the_same(markup: Markup) -> None:
    those = [p for p in MARKED if p.markup is markup]
    assert len(those) >= 8
    for product in those:
        about = described(product)
        title = about.get("name") or about["og:title"]
        assert title == product.title
        brand = about.get("brand") or about["product:brand"]
        assert (brand["name"] if isinstance(brand, dict) else brand) == product.brand
        category = about.get("category") or about["product:category"]
        assert category == product.category


@pytest.mark.parametrize("form", Form)
def test_json_ld_comes_in_several_shapes(form: Form) -> None:
    product = replace(MARKED[0], markup=Markup.JSON_LD, form=form)
    about = described(product)
    full = [BASE + path for path in product.images]
    match form:
        case Form.PLAIN:
            assert about["image"] == full
        case Form.OBJECTS:
            assert [image["contentUrl"] for image in about["image"]] == full
        case Form.GRAPH:
            assert urljoin(BASE, about["image"]).startswith(full[0].removesuffix(".jpg"))
        case Form.GROUP:
            assert about["@type"] == "ProductGroup"
            assert [variant["image"] for variant in about["hasVariant"]] == full


@pytest.mark.parametrize("gallery", Gallery)
@pytest.mark.parametrize("sizes", Sizes)
@pytest.mark.parametrize("width", [600, None])
def test_every_gallery_leads_to_the_full_size(
    gallery: Gallery, sizes: Sizes, width: int | None
) -> None:
    product = next(p for p in MARKED if len(p.images) > 1)
    product = replace(product, gallery=gallery, sizes=sizes, tracked=True)
    text = Pages(SHOP, BASE, lambda _: width).product(product)
    assert images_of(text, product) == set(product.images)


def test_products_that_only_the_feed_names_say_nothing_of_themselves() -> None:
    product = next(p for p in SHOP.products if p.markup is Markup.NONE)
    text = PAGES.product(product)
    assert not any(word in text for word in ("ld+json", "itemscope", "og:type"))


def test_tracked_products_have_links_for_advertisers() -> None:
    tracked = replace(MARKED[0], tracked=True, gallery=Gallery.ZOOM)
    assert "fbclid=" in PAGES.product(tracked)
    assert "fbclid=" not in PAGES.product(replace(tracked, tracked=False))


def test_what_a_page_asks_of_robots() -> None:
    text = PAGES.product(replace(MARKED[0], robots="noai", links=("/products/other",)))
    page = html.fromstring(text)
    assert page.xpath('//meta[@name="robots"]/@content') == ["noai"]
    assert page.xpath('//a[text()="More like this"]/@href') == ["/products/other"]
    assert 'name="robots"' not in PAGES.product(MARKED[0])


def test_hostile_names_stay_names() -> None:
    product = replace(
        MARKED[0], title='</script><script>alert("1")</script>', markup=Markup.JSON_LD
    )
    page = html.fromstring(PAGES.product(product))
    scripts = page.xpath("//script")
    assert len(scripts) == 1
    assert json.loads(scripts[0].text)["@context"] == "https://schema.org"


def test_pages_of_a_category_hold_each_product_once() -> None:
    name, listed = max(SHOP.collections.items(), key=lambda item: len(item[1]))
    shop = Shop(tuple(replace(p, handle=f"{p.handle}-{i}") for p in listed for i in range(9)))
    pages = Pages(shop, BASE, lambda _: None)
    count = -(-len(shop.products) // PER_PAGE)
    seen: list[str] = []
    for number in range(1, count + 1):
        text = pages.collection(name, number)
        assert text is not None
        page = html.fromstring(text)
        seen += page.xpath('//ul[@class="cards"]/li/a/@href')
        targets = page.xpath('//nav[@class="pager"]/a/@href')
        assert len(targets) == count - 1
    assert seen == [p.path for p in shop.products]
    assert pages.collection(name, 0) is pages.collection(name, count + 1) is None
    assert pages.collection("Ships", 1) is None


def test_a_list_can_be_sorted() -> None:
    name = next(iter(SHOP.collections))
    text = PAGES.collection(name, 1, "price")
    assert text is not None
    prices = [
        float(p.split()[1]) for p in html.fromstring(text).xpath('//*[@class="price"]/text()')
    ]
    assert prices == sorted(prices) and len(set(prices)) > 1


def test_search_finds_titles() -> None:
    found = html.fromstring(PAGES.search("MUG")).xpath('//*[@class="name"]/text()')
    assert found and all("Mug" in title for title in found)
    assert "0 products" in PAGES.search("") and "0 products" in PAGES.search("mug sextant")


def test_the_front_page_leads_everywhere() -> None:
    links = html.fromstring(PAGES.home()).xpath("//a/@href")
    assert {f"/collections/{name.lower()}" for name in SHOP.collections} <= set(links)
    assert PRIVATE in links


def test_an_empty_shop_has_a_front_page() -> None:
    pages = Pages(Shop(()), BASE, lambda _: None)
    assert "Good things" in pages.home()
    assert json.loads(pages.feed(1, 30)) == {"products": []}


def test_the_feed_is_read_page_by_page() -> None:
    expected = [p.handle for p in SHOP.found_by[Way.FEED]]
    seen: list[dict[str, Any]] = []
    for number in range(1, 100):
        page = json.loads(PAGES.feed(number, 5))["products"]
        if not page:
            break
        assert len(page) <= 5
        seen += page
    assert [entry["handle"] for entry in seen] == expected
    assert len({entry["id"] for entry in seen}) == len(seen)
    first = SHOP.found_by[Way.FEED][0]
    assert [image["src"] for image in seen[0]["images"]] == [BASE + p for p in first.images]
    assert seen[0]["vendor"] == first.brand and seen[0]["product_type"] == first.category


@pytest.mark.parametrize("limit", [-1, 0, 10**6])
def test_the_feed_keeps_to_its_limits(limit: int) -> None:
    listed = tuple(replace(p, ways=frozenset(Way)) for p in SHOP.products) * 3
    pages = Pages(Shop(listed), BASE, lambda _: None)
    assert len(json.loads(pages.feed(1, limit))["products"]) == (1 if limit < 1 else 250)


def sitemap(pages: Pages, path: str) -> etree._Element:
    data = pages.sitemap(path)
    return etree.fromstring(gzip.decompress(data) if path.endswith(".gz") else data)


def test_sitemaps_name_what_they_should() -> None:
    pages = replace(PAGES, extra_sitemaps=("/sitemaps/more.xml",), extra_pages=("/pages/more",))
    index = etree.fromstring(pages.sitemap_index().encode())
    files = index.xpath("//s:loc/text()", namespaces=NAMESPACES)
    packed, plain = (path for path in pages.sitemap_paths())
    assert files == [BASE + packed, BASE + plain, f"{BASE}/sitemaps/more.xml"]
    assert packed.endswith(".xml.gz") and plain.endswith(".xml")
    read = partial(sitemap, pages)
    found = [
        str(url).removeprefix(BASE)
        for path in (packed, plain)
        for url in read(path).xpath("//s:url/s:loc/text()", namespaces=NAMESPACES)
    ]
    assert len(found) == len(set(found))
    assert {u for u in found if u.startswith("/products/")} == {
        p.path for p in SHOP.found_by[Way.SITEMAP]
    }
    assert {PRIVATE, "/pages/about", "/pages/more", "/collections/shoes"} <= set(found)


def test_packed_sitemaps_name_pictures() -> None:
    packed, plain = PAGES.sitemap_paths()
    named = sitemap(PAGES, packed).xpath("//i:loc/text()", namespaces=NAMESPACES)
    assert {BASE + image for image in SHOP.found_by[Way.SITEMAP][0].images} <= set(named)
    assert sitemap(PAGES, plain).xpath("//i:loc", namespaces=NAMESPACES) == []


def test_robots_txt_forbids_what_is_forbidden() -> None:
    rules = re.findall(r"^Disallow: (.*)$", PAGES.robots(), re.M)
    assert len(rules) == 3
    assert PAGES.robots().endswith(f"Sitemap: {BASE}/sitemap.xml\n")
    assert "Crawl-delay" not in PAGES.robots()
    for target in (PRIVATE, *SAMPLES, "/search?q=mug", "/collections/bags?page=2&sort_by=price"):
        assert is_forbidden(target)
        assert any(re.match(rule.replace("*", ".*"), target) for rule in rules)
    for target in ("/", "/collections/bags?page=2", media_path("private.jpg"), "/sitemap.xml"):
        assert not is_forbidden(target)
        assert not any(re.match(rule.replace("*", ".*"), target) for rule in rules)


def test_smaller_versions_are_written_in_two_ways() -> None:
    assert sized("/media/a.b.jpg", 300, Sizes.QUERY) == "/media/a.b.jpg?width=300"
    assert sized("/media/a.b.jpg", 300, Sizes.SUFFIX) == "/media/a.b_300x.jpg"


def test_the_style_sheet_fetches_nothing() -> None:
    assert "url(" not in stylesheet() and "@import" not in stylesheet()
