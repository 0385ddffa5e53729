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
    return globalThis.Plotly[method](figure, ...given).catch((reason) => {
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
    const follow = (frame) => {
      const n = steps.findIndex((step) => step.method === "animate" && step.args[0]?.[0] === frame);
      if (n >= 0) active(n);
    };
    const made = line(label, input);
    const visible = (shown) => (made.hidden = !shown);
    visible(slider.visible !== false);
    const stop = () => Number(steps[Number(input.value)].label);
    // The stop nearest to a value; text that is no number leads to the first.
    const goTo = (value) => {
      const far = steps.map(({ label }) => Math.abs(Number(label) - value));
      const n = Math.max(0, far.indexOf(Math.min(...far)));
      if (n === Number(input.value)) return;
      active(n);
      carryOut(figure, controls, steps[n]);
    };
    return { made, active, visible, follow, stop, goTo };
  }

  // The parts of a choice as menus: what was chosen last holds, and of the others as much as there is with it.
  function menusFor(figure, controls, menu, number) {
    const titles = (menu.name || "what the figure shows").split("|");
    const parts = menu.buttons.map(({ label, name }) => (titles.length > 1 ? name.split("|") : [label]));
    const selects = titles.map((title, part) => {
      const select = document.createElement("select");
      select.id = `${figure.id}-menu-${number}-${part}`;
      select.setAttribute("aria-label", title);
      new Set(parts.map((choice) => choice[part])).forEach((text) => select.add(new Option(text)));
      return select;
    });
    const show = (choice) => selects.forEach((select, part) => (select.value = choice[part]));
    show(parts[menu.active || 0]);
    const shown = () => controls.find(({ made }) => !made.hidden);
    const chosen = async (part) => {
      const agreeing = parts.map((choice) =>
        choice[part] === selects[part].value ? choice.filter((text, n) => text === selects[n].value).length : 0,
      );
      const best = agreeing.indexOf(Math.max(...agreeing));
      const before = shown()?.stop();
      show(parts[best]);
      await carryOut(figure, controls, menu.buttons[best]);
      shown()?.goTo(before);
    };
    selects.forEach((select, part) => select.addEventListener("change", () => chosen(part)));
    return selects;
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
    return menusFor(figure, controls, menu, number);
  }

  addEventListener("stm-drawn", ({ target: figure }) => {
    const { sliders = [], updatemenus = [] } = figure.layout;
    if (!sliders.length && !updatemenus.length) return;
    const controls = [];
    sliders.forEach((slider, number) => controls.push(controlFor(figure, controls, slider, number)));
    // An animation that plays takes the controls along.
    figure.on("plotly_animatingframe", ({ name }) => controls.forEach((control) => control.follow(name)));
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
