"use strict";
// Files that a reader drops on the page: tables of the local density of states, NumPy arrays, pictures.
// The rules are those of `python -m stm_core predict`; a file that breaks one is refused in a sentence.
globalThis.stm = globalThis.stm || {};

(() => {
  const COLUMNS = ["x", "y", "ldos"];
  const GRAPHENE_LATTICE = 2.46; // Å
  const MOST_ATOMS = 20000; // of a table: seconds of work for the page

  class Refusal extends Error {}
  stm.Refusal = Refusal;
  const refuse = (sentence) => {
    throw new Refusal(sentence);
  };

  // A table of x, y and ldos, separated by blanks or commas, as {x, y, ldos} with places in units of a.
  // Columns are found by the names in a header, or there are three of them.
  stm.readTable = function (name, text, unit = "a") {
    const { header, rows } = splitHeader(text);
    if (!rows.length) refuse(`${name} is empty; an LDOS table needs lines of x y ldos.`);
    if (rows.length > MOST_ATOMS) refuse(`${name} has ${rows.length} lines; the page takes ${MOST_ATOMS} atoms at most.`);
    const columns = header ? COLUMNS.map((column) => header.indexOf(column)) : [0, 1, 2];
    const missing = columns.indexOf(-1);
    if (missing >= 0) refuse(`${name} has no column ${COLUMNS[missing]}; its header must name x, y and ldos.`);
    const width = header ? header.length : rows[0].length;
    if (!header && width !== 3) refuse(`${name} has ${width} columns and no header; three are needed: x y ldos.`);
    const scale = unit === "angstrom" ? 1 / GRAPHENE_LATTICE : 1;
    const [x, y, ldos] = COLUMNS.map(() => new Float64Array(rows.length));
    rows.forEach((cells, line) => {
      if (cells.length !== width) refuse(`${name}, data line ${line + 1}, has ${cells.length} values, not ${width}.`);
      const values = columns.map((column) => Number(cells[column]));
      if (!values.every(Number.isFinite)) {
        refuse(`${name}, data line ${line + 1}, reads “${cells.join(" ").slice(0, 60)}”; only finite numbers are read.`);
      }
      x[line] = values[0] * scale;
      y[line] = values[1] * scale;
      ldos[line] = values[2];
    });
    if (!ldos.some((value) => value !== 0)) refuse(`${name} holds zeros only; there is no LDOS to transform.`);
    return { x, y, ldos };
  };

  function splitHeader(text) {
    let header = null;
    const rows = [];
    for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
      const cells = line.trim().replace(/^#/, "").trim().split(/[,\s;]+/).filter((cell) => cell);
      if (!cells.length) continue;
      const names = cells.map((cell) => cell.toLowerCase());
      const names_columns = COLUMNS.some((column) => names.includes(column));
      if (line.trim().startsWith("#")) {
        if (!rows.length && names_columns) header = names;
      } else if (!rows.length && !header && names_columns) header = names;
      else rows.push(cells);
    }
    return { header, rows };
  }

  const READERS = {
    f4: (view, at, little) => view.getFloat32(at, little),
    f8: (view, at, little) => view.getFloat64(at, little),
    u1: (view, at) => view.getUint8(at),
    u2: (view, at, little) => view.getUint16(at, little),
    i4: (view, at, little) => view.getInt32(at, little),
  };

  // A NumPy file of one square picture whose rows ascend in k_y.
  stm.readArray = function (name, buffer) {
    const bytes = new Uint8Array(buffer);
    const view = new DataView(buffer);
    const magic = bytes.length > 12 && String.fromCharCode(...bytes.slice(1, 6)) === "NUMPY" && bytes[6] <= 3;
    if (!magic) refuse(`${name} is no .npy array.`);
    const [from, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
    const header = new TextDecoder("latin1").decode(bytes.slice(from, from + length));
    const found = /'descr': *'([<>|])(\w\d)'.*'fortran_order': *(True|False).*'shape': *\(([\d, ]*)\)/.exec(header);
    if (!found || !(found[2] in READERS)) refuse(`${name} holds no plain real numbers; float or integer arrays are read.`);
    const shape = found[4].split(",").filter((side) => side.trim()).map(Number);
    if (shape.length !== 2 || shape[0] !== shape[1] || found[3] === "True") {
      refuse(`${name} has shape (${shape.join(", ")}); a square picture stored row by row is needed.`);
    }
    const width = Number(found[2][1]);
    if (buffer.byteLength - from - length !== shape[0] * shape[1] * width) {
      refuse(`${name} is damaged: its length is wrong.`);
    }
    const read = READERS[found[2]];
    const data = Float64Array.from({ length: shape[0] * shape[1] }, (_, n) =>
      read(view, from + length + n * width, found[1] !== ">"),
    );
    if (!data.every(Number.isFinite)) refuse(`${name} holds NaN or infinity; a picture needs finite values.`);
    return { shape, data };
  };

  // Grey levels from 0 to 1 of a decoded picture (ITU-R 601, in whole numbers as PIL does it); rows in their order.
  stm.readGrey = function (name, { width, height, data }) {
    if (width !== height) refuse(`${name} has ${height} × ${width} pixels; a square picture of a transform is needed.`);
    const grey = Float64Array.from({ length: width * height }, (_, n) => {
      const [red, green, blue] = [data[4 * n], data[4 * n + 1], data[4 * n + 2]];
      return ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16) / 255;
    });
    return { shape: [height, width], data: grey };
  };

  // Any square picture at the network's size.
  stm.fitted = function (name, picture, size) {
    const side = picture.shape[0];
    if (side < size) refuse(`${name} has ${side} pixels a side; the network needs at least ${size}.`);
    return side === size ? picture : stm.reduced(picture, size);
  };

  const PICTURES = ["png", "jpg", "jpeg", "webp", "bmp", "gif"];
  const TABLES = ["txt", "dat", "csv"];

  // Which of "table", "array" and "picture" a file is, by its name.
  stm.kindOf = function (name) {
    const ending = name.toLowerCase().split(".").pop();
    if (TABLES.includes(ending)) return "table";
    if (ending === "npy") return "array";
    if (PICTURES.includes(ending)) return "picture";
    const accepted = [...TABLES, "npy", ...PICTURES].map((known) => `.${known}`).join(" ");
    return refuse(`${name} is not read here; accepted are ${accepted}.`);
  };
})();
