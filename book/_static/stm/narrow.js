"use strict";
// On a phone, a figure with several columns keeps a width at which it can be read, and moves sideways in its frame;
// the legend of any other goes below it.
(() => {
  const PHONE = 520; // CSS pixels: a column of text below this is a phone's
  const READABLE = 680; // width of a figure with several columns
  const LINE = 22; // height of a line of a legend

  function framed(figure) {
    const frame = document.createElement("div");
    frame.className = "stm-sideways";
    frame.tabIndex = 0;
    figure.before(frame);
    frame.append(figure);
  }

  const hasColumns = ({ layout }) =>
    Object.entries(layout).some(([name, axis]) => /^xaxis/.test(name) && axis.domain && axis.domain[1] - axis.domain[0] < 0.9);

  function legendBelow(figure) {
    const lines = figure.querySelectorAll(".legend .traces").length;
    if (!lines) return;
    const height = figure.clientHeight + LINE * lines;
    figure.parentElement.style.height = `${height}px`;
    const legend = { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom" };
    globalThis.Plotly.relayout(figure, { height, legend });
  }

  addEventListener("load", () => {
    for (const picture of document.querySelectorAll("div.cell_output img")) {
      if (picture.clientWidth >= PHONE || picture.naturalWidth <= READABLE) continue;
      framed(picture);
      Object.assign(picture.style, { maxWidth: "none", width: `${READABLE}px` });
    }
  });

  addEventListener("stm-drawn", ({ target: figure }) => {
    if (figure.clientWidth >= PHONE) return;
    if (hasColumns(figure)) {
      framed(figure);
      globalThis.Plotly.relayout(figure, { width: READABLE });
    } else legendBelow(figure);
  });
})();
