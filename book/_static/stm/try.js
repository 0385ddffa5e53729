"use strict";
// Try the network: a state of the sweep or a file of the reader's own goes through transform, network and map.
globalThis.stm = globalThis.stm || {};

(() => {
  stm.panels = stm.panels || {};
  const ANGSTROM = 2.46; // of one lattice constant

  stm.panels.try = function (panel, data) {
    const network = data.network;
    const names = controls(data);
    const state = stm.stateFigures(data);
    const map = stm.figure("Where the reading comes from (dark: 0, bright: most)");
    panel.append(
      names.states,
      names.zone,
      stm.element("div", { class: "stm-figures" }, state.map.made, state.picture.made, map.made),
      names.verdict,
      names.save,
    );
    let ticket = 0; // of the newest wish; older ones are given up
    let shown = null;
    const busy = () => {
      names.verdict.className = "stm-reading stm-busy";
      names.verdict.textContent = "Transforming…";
    };

    const tell = (what, picture, truth) => {
      const read = stm.read(network, picture);
      stm.drawPicture(state.picture.canvas, stm.decades(picture), data.palette, data.window);
      stm.drawPicture(map.canvas, read.map, data.palette, data.window);
      names.verdict.className = `stm-reading ${read.inRange ? "stm-known" : "stm-strange"}`;
      names.verdict.textContent = sentence(what, read, network.interval.coverage, truth);
      map.describe(`Attribution map of the reading ${stm.eV(read.U)}: ${where(read.map)}`);
    };

    const show = async (what, table, truth) => {
      const mine = ++ticket;
      shown = () => show(what, table, truth);
      const atoms = { x: table.x.map((v) => v * ANGSTROM), y: table.y.map((v) => v * ANGSTROM), values: stm.contrast(table.ldos) };
      const own = truth === undefined;
      const half = own ? Math.max(1, ...[...atoms.x, ...atoms.y].map(Math.abs)) : 0.8 * Math.hypot(...data.lattice[0]);
      stm.drawAtoms(state.map.canvas, atoms, data.palette, half, own ? null : data.lattice);
      busy();
      const picture = await stm.unhurried(stm.picture(table, network.size, data.n_k), () => mine === ticket);
      if (picture) tell(what, picture, truth);
    };

    const stop = () => {
      const n = Number(names.slider.value);
      names.label.textContent = `A state of the sweep, computed at U = ${stm.eV(data.U[n])}`;
      names.slider.setAttribute("aria-valuetext", stm.eV(data.U[n]));
      const table = { x: data.places.x, y: data.places.y, ldos: Float64Array.from(stm.row(data.ldos, n)) };
      return show("This state", table, data.U[n]);
    };

    const take = async (file) => {
      try {
        const kind = stm.kindOf(file.name);
        if (kind === "table") return await show(file.name, stm.readTable(file.name, await file.text(), names.unit.value));
        const picture = kind === "array" ? stm.readArray(file.name, await file.arrayBuffer()) : await decoded(file);
        const fitted = stm.fitted(file.name, picture, network.size);
        ticket++;
        shown = () => tell(file.name, fitted);
        return shown();
      } catch (error) {
        if (!(error instanceof stm.Refusal)) throw error;
        ticket++;
        names.verdict.className = "stm-reading stm-refused";
        return (names.verdict.textContent = error.message);
      }
    };

    data.places = { x: Float64Array.from(data.x.data, (v) => v / ANGSTROM), y: Float64Array.from(data.y.data, (v) => v / ANGSTROM) };
    listen(names, stop, take);
    names.save.addEventListener("click", () => saveTable(data, Number(names.slider.value)));
    addEventListener("resize", () => shown && shown());
    stop();
  };

  function controls(data) {
    const slider = stm.element("input", { type: "range", min: 0, max: data.U.length - 1, step: 1, value: 0, id: "stm-state" });
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
      stm.element("label", { for: "stm-file" }, "Or drop a file here, or choose one: an LDOS table (x y ldos), or a square picture of a transform (.npy, .png)"),
      input,
      stm.element("span", {}, stm.element("label", { for: "stm-unit" }, "x and y of a table are in "), unit),
    );
    const verdict = stm.element("p", { class: "stm-reading", role: "status", "aria-live": "polite" });
    const save = stm.element("button", { type: "button" }, "Save this state as a table");
    return { states: stm.element("div", { class: "stm-controls" }, label, slider), slider, label, zone, input, unit, verdict, save };
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

  function sentence(what, read, coverage, truth) {
    const share = Math.round(100 * coverage);
    const range = read.inRange
      ? "The network knows pictures like this one."
      : "The network has seen nothing like this picture: do not believe the number.";
    const known = truth === undefined ? "" : ` It was computed with ${stm.eV(truth)}.`;
    return `${what}: U = ${stm.eV(read.U)}, ${share} % interval ${read.low.toFixed(2)} to ${stm.eV(read.high)}.${known} ${range}`;
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
    const lines = Array.from(ldos, (value, a) => `${data.places.x[a].toFixed(7)} ${data.places.y[a].toFixed(7)} ${value.toExponential(7)}`);
    const blob = new Blob([`x y ldos\n${lines.join("\n")}\n`], { type: "text/plain" });
    const link = stm.element("a", { href: URL.createObjectURL(blob), download: `LDOS-U${data.U[n]}.txt` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
})();
