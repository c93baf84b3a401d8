#!/usr/bin/env python3
"""The report of `weir shadow` as a page, in a browser: it asks for nothing else, fits a phone, and shows what matters at once, in the
light and in the dark. WEIR_TEST_KEEP=1 leaves pictures of it."""

import itertools
import shutil
import unittest

import browser
import shadow
import weir

# width, height, phone
PHONE, DESKTOP = (390, 844, True), (1280, 900, False)

# What a reader sees of the page: sizes, texts, colours.
LOOK = """(() => {
  const shown = element => { const box = element.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const all = selector => [...document.querySelectorAll(selector)].filter(shown);
  const texts = selector => all(selector).map(element => element.innerText);
  const colours = selector => all(selector).map(element => [getComputedStyle(element).color, background(element)]);
  const page = document.documentElement;
  const body = document.body.getBoundingClientRect();
  return {
    wide: page.scrollWidth, room: page.clientWidth,
    outside: all('body *').filter(element => {
      const box = element.getBoundingClientRect();
      return (box.right > page.clientWidth + 1 || box.left < -1) && !element.closest('.panel');
    }).map(element => element.outerHTML.slice(0, 200)),
    scrolled: all('.panel').filter(panel => panel.scrollWidth > panel.clientWidth + 1).length,
    word: texts('.verdict .word'), reasons: texts('.verdict li'),
    sides: texts('.sides .name'), left: texts('.side.left mark'), right: texts('.side.right mark'),
    cells: texts('td mark'),
    body: background(document.body),
    mark: all('.side mark').map(mark => [background(mark), background(mark.parentElement)]),
    colours: Object.fromEntries(['p', '.soft', '.verdict .word', '.verdict li', '.tag', 'th', 'td', 'code', 'pre', 'mark', '.why', '.name',
                                 '.better', '.worse'].map(selector => [selector, colours(selector)])),
    scripts: document.querySelectorAll('script, link, img, iframe, object, form, [onclick], [onload], [onerror]').length,
  };
})()"""


def luminance(colour):
    """WCAG's, of rgb(1, 2, 3)."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1:-1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class Page(shadow.Case):
    def looks(self, name):
        """Of the report, on each screen."""
        page = f"file://{self.report}/report.html"
        looks = []
        with browser.Browser() as chromium:
            for (width, height, phone), dark in itertools.product((PHONE, DESKTOP), (False, True)):
                with self.subTest(name, width=width, dark=dark):
                    chromium.open(page, width, height, dark, phone)
                    chromium.screenshot(self.folder / f"{name}-{width}{'-dark' if dark else ''}.png")
                    self.assertEqual(chromium.requests, [page])
                    self.assertEqual(chromium.complaints, [])
                    look = chromium.value(LOOK)
                    self.assertEqual(look["scripts"], 0)
                    self.assertLessEqual(look["wide"], look["room"])
                    self.assertEqual(look["outside"], [])
                    self.assertEqual(look["room"], width)
                    if phone:  # nothing needs a finger that moves sideways
                        self.assertEqual(look["scrolled"], 0)
                    self.assertEqual(luminance(look["body"]) < 0.2, dark)
                    for selector, colours in look["colours"].items():
                        for text, behind in colours:
                            self.assertGreaterEqual(contrast(text, behind), 4.5, f"{selector}: {text} on {behind}")
                    looks.append(look)
        self.assertEqual(len(looks), 4)
        return looks

    def assert_marked(self, look):
        self.assertTrue(all(mark != behind for mark, behind in look["mark"]), look["mark"])
        self.assertGreater(len(look["mark"]), 0)

    def test_what_is_long_and_wide(self):
        """Names and values without a place to break, and a record that one version alone has."""
        word = "Donaudampfschifffahrtsgesellschaftskapitän" * 12
        changed = shadow.mutant(every=7, find='"note":"[^"]*"', replace=f'"note":"{word}","{"a_long_name" * 15}":{{"x":"{word}"}}')
        result = self.shadow(of_candidate=changed, cost_runs=3, rules="outputs: {warehouse: {key: [id]}}")
        self.assert_verdict(result, shadow.FAIL)
        for look in self.looks("long"):
            self.assertEqual(look["word"], ["FAIL"])
            self.assertTrue(any("note" in reason for reason in look["reasons"]), look["reasons"])
            self.assertEqual(look["sides"][:2], ["baseline", "candidate"])
            self.assertTrue(any(text.startswith("note ") for text in look["left"]), look["left"])
            self.assert_marked(look)
        shutil.rmtree(self.report)
        self.assert_verdict(self.shadow(of_candidate=shadow.mutant(every=100, how="drop")), shadow.FAIL)
        for look in self.looks("missing"):
            self.assertEqual(look["word"], ["FAIL"])

    def test_a_pass(self):
        self.assert_pass(self.shadow(), self.EVENTS)
        for look in self.looks("pass"):
            self.assertEqual((look["word"], look["reasons"]), (["PASS"], []))


if __name__ == "__main__":
    weir.need_binaries()
    browser.need_chromium()
    unittest.main(verbosity=2)
