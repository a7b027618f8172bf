"""Latencies of the lab's page in Chromium: from an edited cell, a moved pointer or a click to the frame that shows it.

python -m benchmarks.lab

The time runs from the event to the end of the drawing that follows it, measured on the page itself; a frame that the
screen shows comes up to 16.7 ms later.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import RESULTS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.browser import started
from helpers.static import ASSETS, static_pages

ROUNDS = 40
# Waits for the drawing of `act` and returns the milliseconds since it began.
MEASURE = """async ([act, rounds]) => {
  const acts = {
    edit(i) {
      const cell = document.querySelectorAll(".cells input")[24];
      cell.value = String(i + 2);
      cell.dispatchEvent(new Event("input", { bubbles: true }));
    },
    hover(i) {
      const canvas = document.querySelector(".pane.after canvas"), box = canvas.getBoundingClientRect();
      canvas.dispatchEvent(new PointerEvent("pointermove", {
        bubbles: true, clientX: box.x + box.width / 2 + (i % 30) * 3, clientY: box.y + box.height / 2,
      }));
    },
    learn() {
      document.querySelector("[data-restart]").click();
      document.querySelector("[data-learn]").click();
    },
  };
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const before = performance.now();
    const drawn = new Promise((resolve) => {
      if (act === "learn") {
        const seen = new MutationObserver(() => {
          if (!document.querySelector(".verdict strong")) return;
          seen.disconnect();
          resolve();
        });
        seen.observe(document.querySelector(".verdict"), { childList: true, subtree: true });
        return;
      }
      // The after is drawn by its own context: with pixels painted anew after an edit, or the frame at the new place.
      const context = document.querySelector(".pane.after canvas").getContext("2d"), draw = context.drawImage;
      let fresh = act !== "edit";
      const pixels = OffscreenCanvasRenderingContext2D.prototype, put = pixels.putImageData;
      pixels.putImageData = function (...given) {
        put.apply(this, given);
        fresh = true;
      };
      context.drawImage = function (...given) {
        draw.apply(this, given);
        if (!fresh) return;
        pixels.putImageData = put;
        delete context.drawImage;
        queueMicrotask(resolve);
      };
    });
    acts[act](i);
    await drawn;
    times.push(performance.now() - before);
    await new Promise((done) => setTimeout(done, 30));
  }
  return times;
}"""


def main() -> None:
    """Print medians, and save them."""
    from PIL import Image

    rng = np.random.default_rng(0)
    photograph = Image.fromarray(rng.integers(0, 256, (512, 512)).astype(np.uint8))
    path = RESULTS / "lab.png"
    photograph.save(path)
    found: dict[str, float] = {}
    with started() as browser, static_pages() as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector(".pane.after h2 small:not(:empty)")
        found["first picture, ms"] = 1000 * (time.perf_counter() - begun)
        rows = ";".join([",".join("1" * 7)] * 7)
        page.goto("about:blank")
        page.goto(f"{address}#kernel={rows}&divisor=49&mode=same")
        page.locator("input[type=file]").set_input_files(path)
        page.wait_for_timeout(1500)
        for act in ("edit", "hover"):
            times = page.evaluate(MEASURE, [act, ROUNDS])
            found[f"{act}, 512² with 7×7, ms"] = statistics.median(times)
        page.goto("about:blank")
        page.goto(f"{address}#view=learn&image=astronaut&mode=same")
        page.wait_for_timeout(2500)
        times = page.evaluate(MEASURE, ["learn", 7])
        found["learn the shipped pair, first click, ms"] = times[0]
        found["learn the shipped pair, next clicks, ms"] = statistics.median(times[1:])
    path.unlink()
    files = [file for file in ASSETS.rglob("*") if file.is_file() and file.parent.name != "photographs"]
    found["bytes of page and module"] = sum(file.stat().st_size for file in files)
    for name, value in found.items():
        print(f"{name:<45} {value:10.1f}")
    (RESULTS / "lab.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
