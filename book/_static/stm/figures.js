"use strict";
// A page opens with its text. Plotly, which is larger than all pages together, is asked for after that, and draws one
// figure at a time, those in view first, so that the page answers in between.
(() => {
  const WAITING = 'script[type="text/x-figure"]';
  const plotly = new URL("../plotly.min.js", document.currentScript.src);

  const fetched = (src) =>
    new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src, onload: done, onerror: failed });
      document.head.append(script);
    });

  const distance = (script) => Math.abs(script.parentElement.getBoundingClientRect().top);

  async function drawAll() {
    const waiting = [...document.querySelectorAll(WAITING)].sort((one, other) => distance(one) - distance(other));
    await fetched(plotly.href);
    for (const script of waiting) {
      const figure = script.parentElement.querySelector(".plotly-graph-div");
      script.replaceWith(Object.assign(document.createElement("script"), { textContent: script.textContent }));
      figure.dispatchEvent(new Event("stm-drawn", { bubbles: true }));
      await new Promise((rested) => setTimeout(rested));
    }
  }

  addEventListener("load", () => setTimeout(drawAll));
})();
