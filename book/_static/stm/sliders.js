"use strict";
// Plotly draws its sliders and buttons as pictures, which no keyboard and few thumbs can move. Each is replaced by the
// browser's own control below the figure.
globalThis.stm = globalThis.stm || {};

(() => {
  const carryOut = (figure, { method, args }) => {
    if (method !== "skip") globalThis.Plotly[method](figure, ...args);
  };

  function sliderFor(figure, slider, number) {
    const steps = slider.steps;
    const { prefix = "", suffix = "" } = slider.currentvalue || {};
    const id = `${figure.id}-slider-${number}`;
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: 0, max: steps.length - 1, step: 1, value: slider.active || 0, id });
    label.htmlFor = id;
    const name = (n) => {
      label.textContent = `${prefix}${steps[n].label}${suffix}`;
      input.setAttribute("aria-valuetext", label.textContent);
    };
    name(Number(input.value));
    input.addEventListener("input", () => {
      name(Number(input.value));
      carryOut(figure, steps[Number(input.value)]);
    });
    // An animation that plays takes the control along.
    figure.on("plotly_animatingframe", ({ name: frame }) => {
      const n = steps.findIndex((step) => step.method === "animate" && step.args[0]?.[0] === frame);
      if (n < 0) return;
      input.value = n;
      name(n);
    });
    return [label, input];
  }

  function choicesFor(figure, menu) {
    if (menu.type === "buttons") {
      return menu.buttons.map((choice) => {
        const button = document.createElement("button");
        [button.type, button.textContent] = ["button", choice.label];
        button.addEventListener("click", () => carryOut(figure, choice));
        return button;
      });
    }
    const select = document.createElement("select");
    select.setAttribute("aria-label", "what the figure shows");
    menu.buttons.forEach((choice, n) => select.add(new Option(choice.label, n, n === menu.active, n === menu.active)));
    select.addEventListener("change", () => carryOut(figure, menu.buttons[Number(select.value)]));
    return [select];
  }

  addEventListener("load", () => {
    for (const figure of document.querySelectorAll(".plotly-graph-div")) {
      const { sliders = [], updatemenus = [] } = figure.layout || {};
      const hidden = {};
      const made = [];
      const menus = updatemenus.map((menu) => choicesFor(figure, menu));
      const lines = [...menus, ...sliders.map((slider, n) => sliderFor(figure, slider, n))];
      sliders.forEach((_, n) => (hidden[`sliders[${n}].visible`] = false));
      updatemenus.forEach((_, n) => (hidden[`updatemenus[${n}].visible`] = false));
      for (const controls of lines) {
        const line = document.createElement("div");
        line.className = "stm-slider";
        line.append(...controls);
        made.push(line);
      }
      if (!made.length) continue;
      figure.after(...made);
      globalThis.Plotly.relayout(figure, hidden);
    }
  });
})();
