"use strict";
// The road from a table of the local density of states to the picture a network reads, as in stm_core.imaging.
globalThis.stm = globalThis.stm || {};

(() => {
  // Wave numbers k_x and k_y of the transform in 1/a: symmetric about zero, `n` of each.
  stm.axes = function (n, extent = 1.1) {
    const unit = Float64Array.from({ length: n }, (_, i) => -extent + (2 * extent * i) / (n - 1));
    return { kx: unit.map((u) => 2 * Math.PI * u), ky: unit.map((u) => (4 * Math.PI * u) / Math.sqrt(3)) };
  };

  // cos and sin of k·r for each k of the upper half of an axis: rows of 2h phases, one row for each k.
  function phases(axis, places) {
    const start = axis.length >> 1;
    const h = axis.length - start;
    const table = new Float64Array(2 * h * places.length);
    for (let j = 0; j < h; j++) {
      for (let a = 0; a < places.length; a++) {
        const phase = axis[start + j] * places[a];
        table[j * places.length + a] = Math.cos(phase);
        table[(h + j) * places.length + a] = Math.sin(phase);
      }
    }
    return table;
  }

  // Weights that average n pixels into `size` equal intervals: for each interval its first pixel and their weights.
  stm.areaWeights = function (n, size) {
    return Array.from({ length: size }, (_, i) => {
      const [low, high] = [(i * n) / size, ((i + 1) * n) / size];
      const first = Math.floor(low);
      const weights = [];
      for (let p = first; p < high; p++) {
        weights.push(((Math.min(high, p + 1) - Math.max(low, p)) * size) / n);
      }
      return { first, weights };
    });
  };

  // Dot products of row `j` of the y-phases (weighted by the LDOS) with all rows of the x-phases.
  function products(row, columns, n, out) {
    const count = out.length;
    for (let i = 0; i + 3 < count; i += 4) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      let c = i * n;
      for (let a = 0; a < n; a++, c++) {
        const r = row[a];
        s0 += r * columns[c];
        s1 += r * columns[c + n];
        s2 += r * columns[c + 2 * n];
        s3 += r * columns[c + 3 * n];
      }
      out[i] = s0;
      out[i + 1] = s1;
      out[i + 2] = s2;
      out[i + 3] = s3;
    }
    for (let i = count - (count % 4); i < count; i++) {
      let sum = 0;
      for (let a = 0; a < n; a++) sum += row[a] * columns[i * n + a];
      out[i] = sum;
    }
  }

  // |F(k)|/|F(0)| averaged to size × size pixels; rows ascend in k_y. A generator: it yields after each row of the grid.
  //
  // exp(−ik·r) separates into a factor of x and one of y, so the grid is a matrix product; for a real LDOS one
  // quadrant of it gives the other three. `table` is {x, y, ldos} with places in units of a.
  stm.picture = function* (table, size = 64, n = 1003) {
    const { kx, ky } = stm.axes(n);
    const atoms = table.ldos.length;
    const columns = phases(kx, table.x);
    const rows = phases(ky, table.y);
    const start = n >> 1;
    const h = n - start;
    const total = table.ldos.reduce((sum, value) => sum + value, 0);
    const scale = total > 0 ? 1 / total : 1;
    const bins = stm.areaWeights(n, size);
    const picture = stm.zeros(size, size);
    const [fromCos, fromSin] = [new Float64Array(2 * h), new Float64Array(2 * h)];
    const [cosine, sine, line] = [new Float64Array(atoms), new Float64Array(atoms), new Float64Array(n)];
    for (let j = 0; j < h; j++) {
      for (let a = 0; a < atoms; a++) {
        cosine[a] = rows[j * atoms + a] * table.ldos[a] * scale;
        sine[a] = rows[(h + j) * atoms + a] * table.ldos[a] * scale;
      }
      products(cosine, columns, atoms, fromCos);
      products(sine, columns, atoms, fromSin);
      for (let i = 0; i < h; i++) {
        const [cc, cs, sc, ss] = [fromCos[i], fromCos[h + i], fromSin[i], fromSin[h + i]];
        line[h - 1 - i] = Math.hypot(cc + ss, sc - cs);
        line[start + i] = Math.hypot(cc - ss, sc + cs);
      }
      addRow(picture.data, size, bins, start + j, line, false);
      if (n - 1 - start - j !== start + j) addRow(picture.data, size, bins, n - 1 - start - j, line, true);
      yield j / h;
    }
    return picture;
  };

  // Add one row of the fine grid, or its mirror image, to the pixels it belongs to.
  function addRow(picture, size, bins, row, line, mirrored) {
    const n = line.length;
    for (let v = 0; v < size; v++) {
      const weight = bins[v].weights[row - bins[v].first];
      if (weight === undefined) continue;
      for (let u = 0; u < size; u++) {
        let sum = 0;
        bins[u].weights.forEach((w, p) => (sum += w * line[mirrored ? n - 1 - bins[u].first - p : bins[u].first + p]));
        picture[v * size + u] += weight * sum;
      }
    }
  }

  // An n × n picture averaged down to size × size.
  stm.reduced = function (picture, size) {
    const n = picture.shape[0];
    const bins = stm.areaWeights(n, size);
    const out = stm.zeros(size, size);
    for (let row = 0; row < n; row++) {
      addRow(out.data, size, bins, row, picture.data.subarray(row * n, (row + 1) * n), false);
    }
    return out;
  };

  // F(G) = Σ LDOS exp(−iG·r) at given wave vectors: real and imaginary parts. G in 1/a for places in a.
  stm.bragg = function (table, vectors) {
    return vectors.map(([gx, gy]) => {
      let [re, im] = [0, 0];
      table.ldos.forEach((value, a) => {
        const phase = gx * table.x[a] + gy * table.y[a];
        re += value * Math.cos(phase);
        im -= value * Math.sin(phase);
      });
      return [re, im];
    });
  };
})();
