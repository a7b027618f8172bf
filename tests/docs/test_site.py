"""The built site: its links lead somewhere, it asks no other host, and its tabs remember the framework."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import expect

DOCS = Path(__file__).parents[2] / "docs"


class Links(HTMLParser):
    """The links, the parts that are loaded, and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given.get("href") or "")
        elif tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Links]:
    return {
        path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts
    }


def test_every_link_inside_the_site_leads_somewhere(pages, site):
    missing = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            # What stands behind # in an address of the lab is its state.
            known = None if target.parent.name == "lab" else pages.get(target)
            if not target.exists() or (anchor and known and anchor not in known.anchors):
                missing.append(f"{path.relative_to(site)}: {link}")
    assert sorted(set(missing)) == []


def test_names_in_a_docstring_lead_to_their_entries(pages, site):
    links = pages[site / "reference" / "generated" / "kernelfield.learn.html"].links
    for name in ("kernelfield.Fit", "kernelfield.errors.ArgumentError", "kernelfield.images.read"):
        assert f"{name}.html#{name}" in links


def test_a_page_loads_nothing_from_elsewhere(pages):
    assert [link for page in pages.values() for link in page.loaded if urlsplit(link).netloc] == []


def test_the_site_in_a_browser(watched, address):
    page = watched(viewport={"width": 1280, "height": 900})
    for path in (
        "index",
        "start",
        "tutorial/edges",
        "howto/port",
        "reference/commands",
        "reference/api",
        "compared/index",
    ):
        page.goto(f"{address}/{path}.html")
        expect(page.locator("h1").first).to_be_visible()
        broken = page.eval_on_selector_all("img", "all => all.filter(i => !i.naturalWidth).map(i => i.src)")
        assert broken == []


def test_a_phone_shows_every_page_without_scrolling_sideways(pages, site, watched, address):
    page = watched(viewport={"width": 390, "height": 844})
    for path in ("index", "start", "tutorial/edges", "howto/receptive", "reference/api", "compared/speed"):
        page.goto(f"{address}/{path}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(f"{address}/reference/api.html")
    sentences = page.locator("table.autosummary td:last-child")
    boxes = sentences.evaluate_all("all => all.map(td => td.firstElementChild.getBoundingClientRect().toJSON())")
    assert len(boxes) > 100
    assert [box for box in boxes if box["right"] > 390 or box["height"] > 200] == []


def test_the_lab_runs_in_every_page_that_asks_for_it(pages, site, watched, address):
    texts = {path.relative_to(site).with_suffix(""): path for path in pages if path.parent.name != "lab"}
    sources = {path: path.read_text("utf-8") for path in DOCS.rglob("*.md")}
    asked = {path.relative_to(DOCS).with_suffix("") for path, text in sources.items() if "```{lab}" in text}
    assert asked
    assert {name for name, path in texts.items() if 'class="lab"' in path.read_text("utf-8")} == asked
    page = watched(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/tutorial/edges.html")
    page.locator("iframe.lab").scroll_into_view_if_needed()
    expect(page.frame_locator("iframe.lab").locator(".strip")).to_have_text("1 · 1 + 0 · (−1) = 1")


def test_code_is_copied_without_prompts_and_results(watched, address):
    page = watched(viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"])
    copied = []
    for path in ("reference/generated/kernelfield.correlate", "tutorial/edges", "start"):
        page.goto(f"{address}/{path}.html")
        expect(page.locator("button.copybtn")).not_to_have_count(0)
        assert page.locator(".highlight-text button.copybtn").count() == 0
        blocks = page.locator(":is(.doctest, .highlight-python, .highlight-console):visible")
        for block in blocks.all():
            button = block.locator("button.copybtn")
            button.click(force=True)
            expect(button).to_have_class(re.compile("success"))
            copied.append(page.evaluate("navigator.clipboard.readText()"))
    assert len(copied) > 5
    assert "kernelfield learn examples/before.png examples/after.png --save filter.json" in copied
    assert [line for text in copied for line in text.splitlines() if line.startswith(("$ ", ">>> ", "... "))] == []


def test_tabs_remember_the_framework(watched, address):
    page = watched(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/tutorial/edges.html")
    expect(page.get_by_text("tf.Tensor").first).not_to_be_visible()
    page.get_by_text("TensorFlow", exact=True).first.click()
    expect(page.get_by_text("tf.Tensor").first).to_be_visible()
    page.goto(f"{address}/tutorial/layers.html")
    expect(page.get_by_text("keras.layers.Layer").first).to_be_visible()
    expect(page.get_by_text("nn.Module").first).not_to_be_visible()
