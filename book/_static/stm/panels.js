"use strict";
// Fills the panels that a page holds: <div data-stm="kind"> with a JSON script inside.
globalThis.stm = globalThis.stm || {};

(() => {
  stm.panels = stm.panels || {};

  // Row n of a packed table, as an array.
  stm.row = (table, n) => table.data.subarray(n * table.shape[1], (n + 1) * table.shape[1]);

  const eV = (value, digits = 2) => `${value.toFixed(digits)} eV`;
  stm.eV = eV;

  // The two canvases that show a state, and how to show another one on them.
  stm.stateFigures = function (data) {
    const map = stm.figure("Local density of states, over its mean (dark: 0, bright: 4)");
    const picture = stm.figure("Its Fourier transform |F(k)|/|F(0)| (dark: 10⁻⁴, bright: 1)");
    const atoms = { x: data.x.data, y: data.y.data };
    const half = 0.8 * Math.hypot(...data.lattice[0]);
    return {
      map,
      picture,
      show(ldos, drawn) {
        stm.drawAtoms(map.canvas, { ...atoms, values: stm.contrast(ldos) }, data.palette, half, data.lattice);
        if (drawn) stm.drawPicture(picture.canvas, drawn, data.palette, data.window);
      },
    };
  };

  // Level bytes of state n as a picture.
  stm.levels = function (data, n) {
    const [, size] = data.pictures.shape;
    const area = size * size;
    return { shape: [size, size], data: data.pictures.data.subarray(n * area, (n + 1) * area) };
  };

  // The road: states in the order of U, moving by themselves until someone takes the slider.
  stm.panels.road = function (panel, data) {
    const last = data.U.length - 1;
    const state = stm.stateFigures(data);
    const reading = stm.figure("What the reader makes of it");
    const slider = stm.slider(last, 1, 0);
    slider.setAttribute("aria-label", "on-site repulsion U");
    const button = stm.element("button", { type: "button" }, "Play");
    const words = stm.element("output", { class: "stm-reading" });
    panel.append(
      stm.element("div", { class: "stm-controls" }, button, slider, words),
      stm.element("div", { class: "stm-figures" }, state.map.made, state.picture.made, reading.made),
    );
    const show = () => {
      const n = Number(slider.value);
      state.show(stm.row(data.ldos, n), stm.levels(data, n));
      stm.drawReadings(reading.canvas, data.U, data.readings, n, data.highest);
      words.textContent = `U = ${eV(data.U[n])}, read as ${eV(data.readings[n])}`;
      slider.setAttribute("aria-valuetext", words.textContent);
      reading.describe(`Readings against true U; at ${eV(data.U[n])} the reader says ${eV(data.readings[n])}.`);
    };
    let timer = null;
    const pause = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    const play = () => {
      timer = setInterval(() => {
        slider.value = Number(slider.value) >= last ? 0 : Number(slider.value) + 1;
        show();
      }, 900);
      button.textContent = "Pause";
    };
    button.addEventListener("click", () => (timer ? pause() : play()));
    slider.addEventListener("input", () => {
      pause();
      show();
    });
    addEventListener("resize", show);
    show();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  };

  // Guess U before the network does.
  stm.panels.guess = function (panel, data) {
    const state = stm.stateFigures(data);
    const slider = stm.slider(data.highest, 0.05, data.highest / 2);
    slider.id = "stm-guess";
    const label = stm.element("label", { for: "stm-guess" });
    const button = stm.element("button", { type: "button" }, "Guess");
    const verdict = stm.element("p", { class: "stm-reading", role: "status", "aria-live": "polite" });
    panel.append(
      stm.element("div", { class: "stm-figures" }, state.map.made, state.picture.made),
      stm.element("div", { class: "stm-controls" }, label, slider, button),
      verdict,
    );
    const errors = { you: [], network: [] };
    let [round, answered] = [0, false];
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const draw = () => state.show(stm.row(data.ldos, round), stm.levels(data, round));
    const ask = () => {
      answered = false;
      [button.textContent, slider.disabled] = ["Guess", false];
      verdict.textContent = `Picture ${round + 1} of ${data.U.length}: which U made it?`;
      draw();
    };
    const answer = () => {
      answered = true;
      const [truth, read, guess] = [data.U[round], data.readings[round], Number(slider.value)];
      errors.you.push(Math.abs(guess - truth));
      errors.network.push(Math.abs(read - truth));
      const over = round === data.U.length - 1;
      verdict.textContent =
        `It was ${eV(truth)}. You said ${eV(guess)}, the network ${eV(read)}. ` +
        `Mean error so far: you ${eV(mean(errors.you))}, the network ${eV(mean(errors.network))}.`;
      [button.textContent, slider.disabled] = [over ? "Play again" : "Next picture", true];
    };
    button.addEventListener("click", () => {
      if (!answered) return answer();
      if (round === data.U.length - 1) errors.you.length = errors.network.length = 0;
      round = (round + 1) % data.U.length;
      return ask();
    });
    const name = () => (label.textContent = `Your guess: ${eV(Number(slider.value))}`);
    slider.addEventListener("input", name);
    addEventListener("resize", draw);
    name();
    ask();
  };

  addEventListener("DOMContentLoaded", () => {
    for (const panel of document.querySelectorAll("[data-stm]")) {
      const data = stm.unpacked(JSON.parse(panel.querySelector("script").textContent));
      panel.replaceChildren();
      stm.panels[panel.dataset.stm](panel, data);
    }
  });
})();
