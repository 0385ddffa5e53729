"use strict";
// Drawing on a canvas: maps of atoms, pictures of transforms, readings; each in a frame with axes and units.
globalThis.stm = globalThis.stm || {};

(() => {
  const INK = "#222222";
  const MARGIN = { left: 46, right: 8, top: 8, bottom: 38 }; // CSS pixels for the labels of the axes
  const ACCENT = "#b04a00";
  const GREY = "#6b6b6b";
  const [ORANGE, BLUE] = [
    [176, 74, 0],
    [31, 78, 121],
  ];

  stm.ACCENT = ACCENT;

  const colour = (palette, share) => {
    const n = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
    return [palette.data[n], palette.data[n + 1], palette.data[n + 2]];
  };

  // A sharp canvas as wide as its box; `paint(context, area, place)` draws inside the axes, where `place` turns
  // values into CSS pixels. `axes` is {x: [low, high, label], y: [low, high, label]}; marks may overhang by that much.
  stm.framed = function (canvas, axes, paint, overhang = 0) {
    const width = Math.max(160, Math.min(440, canvas.parentElement.clientWidth || 300));
    const side = width - MARGIN.left - MARGIN.right;
    const height = side + MARGIN.top + MARGIN.bottom;
    const ratio = globalThis.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, width, height);
    const area = { left: MARGIN.left, top: MARGIN.top, side };
    const along = ([low, high], value) => (side * (value - low)) / (high - low);
    const place = (x, y) => [area.left + along(axes.x, x), area.top + side - along(axes.y, y)];
    context.save();
    context.beginPath();
    context.rect(area.left - overhang, area.top - overhang, side + 2 * overhang, side + 2 * overhang);
    context.clip();
    paint(context, area, place);
    context.restore();
    drawAxes(context, axes, area, place);
  };

  function drawAxes(context, axes, { left, top, side }, place) {
    context.strokeStyle = context.fillStyle = INK;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
    context.font = "12px system-ui, sans-serif";
    const ticks = ([low, high]) => [low, (low + high) / 2, high];
    const written = (value) => String(Number(value.toPrecision(2))).replace("-", "−");
    context.textBaseline = "top";
    ticks(axes.x).forEach((value, n) => {
      context.textAlign = ["left", "center", "right"][n];
      context.fillText(written(value), place(value, 0)[0], top + side + 5);
    });
    context.textAlign = "center";
    context.fillText(axes.x[2], left + side / 2, top + side + 21);
    context.textAlign = "right";
    ticks(axes.y).forEach((value, n) => {
      context.textBaseline = ["bottom", "middle", "top"][n];
      context.fillText(written(value), left - 5, place(0, value)[1]);
    });
    context.save();
    context.translate(4, top + side / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillText(axes.y[2], 0, 0);
    context.restore();
  }

  // Atoms {x, y, values} in Å as dots, values from 0 to 1; with `lattice` (two vectors in Å) the moiré is repeated.
  stm.drawAtoms = function (canvas, atoms, palette, half, lattice = null) {
    const axes = { x: [-half, half, "x (Å)"], y: [-half, half, "y (Å)"] };
    const copies = [];
    for (let m = lattice ? -3 : 0; m <= (lattice ? 3 : 0); m++) {
      for (let n = lattice ? -3 : 0; n <= (lattice ? 3 : 0); n++) {
        copies.push(lattice ? [m * lattice[0][0] + n * lattice[1][0], m * lattice[0][1] + n * lattice[1][1]] : [0, 0]);
      }
    }
    stm.framed(canvas, axes, (context, area, place) => {
      const radius = Math.max(1.1, (0.8 * area.side) / (2 * half)); // an atom is about 0.8 Å in radius here
      atoms.x.forEach((x, a) => {
        context.fillStyle = `rgb(${colour(palette, atoms.values[a])})`;
        for (const [dx, dy] of copies) {
          const [u, v] = [x + dx, atoms.y[a] + dy];
          if (Math.abs(u) > half + 1 || Math.abs(v) > half + 1) continue;
          context.beginPath();
          context.arc(...place(u, v), radius, 0, 2 * Math.PI);
          context.fill();
        }
      });
    });
  };

  // A square picture {shape, data} with values from 0 to 1, rows ascending in k_y, over the window of the transform.
  stm.drawPicture = function (canvas, picture, palette, window) {
    const [n] = picture.shape;
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const pixels = small.getContext("2d").createImageData(n, n);
    picture.data.forEach((value, at) => {
      const [row, column] = [n - 1 - Math.floor(at / n), at % n];
      pixels.data.set([...colour(palette, value), 255], 4 * (row * n + column));
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    const [kx, ky] = window;
    const axes = { x: [-kx, kx, "kx (1/Å)"], y: [-ky, ky, "ky (1/Å)"] };
    stm.framed(canvas, axes, (context, { left, top, side }) => {
      context.imageSmoothingEnabled = false;
      context.drawImage(small, left, top, side, side);
    });
  };

  // |F(k)|/|F(0)| on four decades, as values from 0 to 1.
  stm.decades = ({ shape, data }) => ({
    shape,
    data: Float64Array.from(data, (value) => 1 + Math.log10(Math.max(value, 1e-4)) / 4),
  });

  // Readings against true U, the diagonal, and one of them marked.
  stm.drawReadings = function (canvas, truth, readings, marked, highest) {
    const axes = { x: [0, highest, "true U (eV)"], y: [0, highest, "U read (eV)"] };
    stm.framed(canvas, axes, (context, area, place) => {
      context.strokeStyle = GREY;
      context.setLineDash([5, 4]);
      context.beginPath();
      context.moveTo(...place(0, 0));
      context.lineTo(...place(highest, highest));
      context.stroke();
      truth.forEach((U, n) => {
        context.fillStyle = n === marked ? ACCENT : GREY;
        context.beginPath();
        context.arc(...place(U, readings[n]), n === marked ? 7 : 3, 0, 2 * Math.PI);
        context.fill();
      });
    }, MARGIN.top);
  };

  // Discs at the vectors of each star of six, {x, y} in 1/Å after G = 0: orange where `parts` raise U, blue where they
  // lower it, white where they do nothing.
  stm.drawStars = function (canvas, vectors, parts) {
    const half = 1.15 * Math.max(...vectors.map(([x, y]) => Math.hypot(x, y)));
    const most = Math.max(...parts.map(Math.abs), 1e-9);
    const mixed = (full, share) => full.map((channel) => Math.round(255 + (channel - 255) * share));
    stm.framed(canvas, { x: [-half, half, "kx (1/Å)"], y: [-half, half, "ky (1/Å)"] }, (context, area, place) => {
      context.strokeStyle = GREY;
      vectors.slice(1).forEach(([x, y], n) => {
        const part = parts[Math.floor(n / 6)];
        context.fillStyle = `rgb(${mixed(part > 0 ? ORANGE : BLUE, Math.abs(part) / most)})`;
        context.beginPath();
        context.arc(...place(x, y), Math.max(3, area.side / 40), 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      });
    });
  };

  // LDOS over its mean as values from 0 to 1; four times the mean is white hot.
  stm.contrast = function (ldos) {
    const mean = ldos.reduce((sum, value) => sum + value, 0) / ldos.length || 1;
    return Float64Array.from(ldos, (value) => value / mean / 4);
  };

  // An element with attributes and children; children may be text.
  stm.element = function (tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  };

  // A slider from 0 to `max`.
  stm.slider = (max, step, value) => stm.element("input", { type: "range", min: 0, max, step, value });

  // A canvas with a caption; its description for those who cannot see it is set by `describe`.
  stm.figure = function (caption) {
    const canvas = stm.element("canvas", { role: "img", "aria-label": caption });
    const words = stm.element("figcaption", {}, caption);
    const made = stm.element("figure", { class: "stm-figure" }, canvas, words);
    const describe = (text) => canvas.setAttribute("aria-label", text);
    return { made, canvas, describe, explain: (text) => describe((words.textContent = text)) };
  };
})();
