"use strict";
// Try the network: a state of the sweep or a file of the reader's own goes through transform, network and map.
globalThis.stm = globalThis.stm || {};

(() => {
  stm.panels = stm.panels || {};
  const ANGSTROM = 2.46; // of one lattice constant
  const WANTED =
    "Or drop a file here, or choose one: an LDOS table (x y ldos), or a square picture of a transform (.npy, .png)";
  const STARS = "How far each star of Bragg peaks moves the curves' reading (orange: up, blue: down)";

  stm.panels.try = function (panel, data) {
    const { network, curves } = data;
    const names = controls(data);
    const state = stm.stateFigures(data);
    const map = stm.figure("Where the network's reading comes from (dark: nothing, bright: most)");
    const stars = stm.figure(STARS);
    const figures = [state.map, state.picture, stars, map];
    panel.append(
      names.states,
      names.zone,
      names.byCurves,
      names.byNetwork,
      stm.element("div", { class: "stm-figures stm-four" }, ...figures.map((figure) => figure.made)),
      names.save,
    );
    const vectors = curves.vectors.map(([x, y]) => [x / ANGSTROM, y / ANGSTROM]);
    let ticket = 0; // of the newest wish; older ones are given up
    let shown = null;

    const tellNetwork = (what, picture) => {
      const read = stm.read(network, picture);
      stm.drawPicture(state.picture.canvas, stm.decades(picture), data.palette, data.window);
      stm.drawPicture(map.canvas, read.map, data.palette, data.window);
      map.describe(`Attribution map of the reading ${stm.eV(read.U)}: ${where(read.map)}`);
      say(names.byNetwork, `${what}, by the network`, read, "pictures", network.coverage);
    };

    const tellCurves = (what, table) => {
      const read = stm.readStars(curves, table);
      stm.drawStars(stars.canvas, vectors, read.parts);
      const most = read.parts.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
      stars.explain(`${STARS}; the strongest moves it by ${(1000 * most).toFixed(1)} meV`);
      say(names.byCurves, `${what}, by the curves`, read, "amplitudes", curves.coverage);
    };

    const show = async (what, table, own) => {
      const mine = ++ticket;
      shown = () => show(what, table, own);
      const [x, y] = [table.x, table.y].map((places) => places.map((value) => value * ANGSTROM));
      const atoms = { x, y, values: stm.contrast(table.ldos) };
      const reach = atoms.x.reduce((most, x, n) => Math.max(most, Math.abs(x), Math.abs(atoms.y[n])), 1);
      const half = own ? 0.8 * Math.hypot(...data.lattice[0]) : reach;
      stm.drawAtoms(state.map.canvas, atoms, data.palette, half, own ? data.lattice : null);
      tellCurves(what, table);
      wait(names.byNetwork);
      const picture = await stm.unhurried(stm.picture(table, network.size, data.n_k), () => mine === ticket);
      if (picture) tellNetwork(what, picture);
    };

    const showPicture = (what, picture) => {
      ticket++;
      shown = () => showPicture(what, picture);
      names.byCurves.className = "stm-reading";
      names.byCurves.textContent = "The curves read tables only: pixels are too coarse for the moiré's peaks.";
      tellNetwork(what, picture);
    };

    const stop = () => {
      const n = Number(names.slider.value);
      names.label.textContent = `A state of the sweep, computed at U = ${stm.eV(data.U[n])}`;
      names.slider.setAttribute("aria-valuetext", stm.eV(data.U[n]));
      const table = { x: data.places.x, y: data.places.y, ldos: Float64Array.from(stm.row(data.ldos, n)) };
      return show("This state", table, true);
    };

    const take = async (file) => {
      try {
        const kind = stm.kindOf(file.name);
        if (kind === "table") {
          return await show(file.name, stm.readTable(file.name, await file.text(), names.unit.value), false);
        }
        const picture = kind === "array" ? stm.readArray(file.name, await file.arrayBuffer()) : await decoded(file);
        return showPicture(file.name, stm.fitted(file.name, picture, network.size));
      } catch (error) {
        if (!(error instanceof stm.Refusal)) throw error;
        ticket++;
        names.byCurves.className = "stm-reading stm-refused";
        names.byCurves.textContent = error.message;
        return (names.byNetwork.textContent = "");
      }
    };

    const [x, y] = [data.x, data.y].map((places) => Float64Array.from(places.data, (value) => value / ANGSTROM));
    data.places = { x, y };
    listen(names, stop, take);
    names.save.addEventListener("click", () => saveTable(data, Number(names.slider.value)));
    addEventListener("resize", () => shown && shown());
    stop();
  };

  function controls(data) {
    const slider = stm.slider(data.U.length - 1, 1, 0);
    slider.id = "stm-state";
    const label = stm.element("label", { for: "stm-state" });
    const input = stm.element("input", { type: "file", id: "stm-file" });
    const unit = stm.element(
      "select",
      { id: "stm-unit" },
      stm.element("option", { value: "a" }, "lattice constants"),
      stm.element("option", { value: "angstrom" }, "Å"),
    );
    const zone = stm.element(
      "div",
      { class: "stm-drop" },
      stm.element("label", { for: "stm-file" }, WANTED),
      input,
      stm.element("span", {}, stm.element("label", { for: "stm-unit" }, "x and y of a table are in "), unit),
    );
    const line = () => stm.element("p", { class: "stm-reading", role: "status", "aria-live": "polite" });
    const [byCurves, byNetwork] = [line(), line()];
    const save = stm.element("button", { type: "button" }, "Save this state as a table");
    const states = stm.element("div", { class: "stm-controls" }, label, slider);
    return { states, slider, label, zone, input, unit, byCurves, byNetwork, save };
  }

  function listen({ slider, zone, input }, stop, take) {
    slider.addEventListener("input", stop);
    input.addEventListener("change", () => input.files.length && take(input.files[0]));
    const over = (event) => {
      event.preventDefault();
      zone.classList.toggle("stm-over", event.type === "dragover");
    };
    ["dragover", "dragleave", "drop"].forEach((kind) => zone.addEventListener(kind, over));
    zone.addEventListener("drop", (event) => event.dataTransfer.files.length && take(event.dataTransfer.files[0]));
  }

  function wait(line) {
    line.className = "stm-reading stm-busy";
    line.textContent = "The network waits for its picture…";
  }

  function say(line, what, read, kind, coverage) {
    const verdict = read.inRange
      ? `It knows ${kind} like these.`
      : `It has seen no ${kind} like these: do not believe the number.`;
    line.className = `stm-reading ${read.inRange ? "stm-known" : "stm-strange"}`;
    const interval = Number.isFinite(read.high - read.low)
      ? `${Math.round(100 * coverage)} % interval ${read.low.toFixed(3)} to ${stm.eV(read.high, 3)}`
      : "no interval: too few samples calibrated it";
    line.textContent = `${what}: U = ${stm.eV(read.U, 3)}, ${interval}. ${verdict}`;
  }

  // In words, how the map lies: its share in the inner quarter of the window.
  function where(map) {
    const n = map.shape[0];
    let [inner, all] = [0, 0];
    map.data.forEach((value, at) => {
      const [v, u] = [Math.floor(at / n), at % n];
      all += value;
      if (Math.max(Math.abs(v + 0.5 - n / 2), Math.abs(u + 0.5 - n / 2)) < n / 4) inner += value;
    });
    return all > 0 ? `${Math.round((100 * inner) / all)} % of it in the inner quarter of the window.` : "it is blank.";
  }

  async function decoded(file) {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new stm.Refusal(`${file.name} is no picture that can be read.`);
    });
    const canvas = stm.element("canvas", { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return stm.readGrey(file.name, context.getImageData(0, 0, bitmap.width, bitmap.height));
  }

  function saveTable(data, n) {
    const ldos = stm.row(data.ldos, n);
    const { x, y } = data.places;
    const lines = Array.from(ldos, (value, a) => `${x[a].toFixed(7)} ${y[a].toFixed(7)} ${value.toExponential(7)}`);
    const blob = new Blob([`x y ldos\n${lines.join("\n")}\n`], { type: "text/plain" });
    const link = stm.element("a", { href: URL.createObjectURL(blob), download: `LDOS-U${data.U[n]}.txt` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
})();
