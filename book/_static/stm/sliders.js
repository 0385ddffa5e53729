"use strict";
// Plotly draws its sliders and menus as pictures, which no keyboard and few thumbs can move. Each is replaced by the
// browser's own control below the figure.
globalThis.stm = globalThis.stm || {};

(() => {
  const OF_A_SLIDER = /^sliders\[(\d+)\]\.(visible|active)$/;

  // What a step or a choice asks of its figure. Plotly's own sliders stay hidden: where it would show or move one of
  // them, the control in its place is shown or moved.
  function carryOut(figure, controls, { method, args }) {
    if (method === "skip") return;
    const given = [...args];
    const at = { update: 1, relayout: 0 }[method];
    if (at !== undefined && given[at]) {
      const own = Object.entries(given[at]).filter(([key]) => OF_A_SLIDER.test(key));
      own.forEach(([key, value]) => {
        const [, number, what] = OF_A_SLIDER.exec(key);
        controls[number][what](value);
      });
      given[at] = Object.fromEntries(Object.entries(given[at]).filter(([key]) => !OF_A_SLIDER.test(key)));
    }
    // Plotly rejects, without a reason, what another movement has interrupted.
    globalThis.Plotly[method](figure, ...given).catch((reason) => {
      if (reason !== undefined) throw reason;
    });
  }

  const line = (...children) => {
    const made = document.createElement("div");
    made.className = "stm-slider";
    made.append(...children);
    return made;
  };

  // The control of one slider: its line of the page, and how to show it and to set it.
  function controlFor(figure, controls, slider, number) {
    const steps = slider.steps;
    const { prefix = "", suffix = "" } = slider.currentvalue || {};
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: 0, max: steps.length - 1, step: 1, id: `${figure.id}-slider-${number}` });
    label.htmlFor = input.id;
    const active = (n) => {
      input.value = n;
      label.textContent = `${prefix}${steps[n].label}${suffix}`;
      input.setAttribute("aria-valuetext", label.textContent);
    };
    active(slider.active || 0);
    input.addEventListener("input", () => {
      active(Number(input.value));
      carryOut(figure, controls, steps[Number(input.value)]);
    });
    // An animation that plays takes the control along.
    figure.on("plotly_animatingframe", ({ name }) => {
      const n = steps.findIndex((step) => step.method === "animate" && step.args[0]?.[0] === name);
      if (n >= 0) active(n);
    });
    const made = line(label, input);
    const visible = (shown) => (made.hidden = !shown);
    visible(slider.visible !== false);
    return { made, active, visible };
  }

  function choicesFor(figure, controls, menu, number) {
    if (menu.type === "buttons") {
      return menu.buttons.map((choice) => {
        const button = document.createElement("button");
        [button.type, button.textContent] = ["button", choice.label];
        button.addEventListener("click", () => carryOut(figure, controls, choice));
        return button;
      });
    }
    const select = document.createElement("select");
    select.id = `${figure.id}-menu-${number}`;
    select.setAttribute("aria-label", "what the figure shows");
    menu.buttons.forEach(({ label }, n) => select.add(new Option(label, n, n === menu.active, n === menu.active)));
    select.addEventListener("change", () => carryOut(figure, controls, menu.buttons[Number(select.value)]));
    return [select];
  }

  addEventListener("stm-drawn", ({ target: figure }) => {
    const { sliders = [], updatemenus = [] } = figure.layout;
    if (!sliders.length && !updatemenus.length) return;
    const controls = [];
    sliders.forEach((slider, number) => controls.push(controlFor(figure, controls, slider, number)));
    const menus = updatemenus.map((menu, n) => line(...choicesFor(figure, controls, menu, n)));
    // The figure's own frame is just as high as the figure.
    figure.parentElement.after(...menus, ...controls.map((control) => control.made));
    // The room that Plotly's own would have taken above the panels is not needed.
    const hidden = { "margin.t": figure.layout.title?.text ? 80 : 50 };
    sliders.forEach((_, n) => (hidden[`sliders[${n}].visible`] = false));
    updatemenus.forEach((_, n) => (hidden[`updatemenus[${n}].visible`] = false));
    globalThis.Plotly.relayout(figure, hidden);
  });
})();
