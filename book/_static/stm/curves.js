"use strict";
// Reading U by the curves that the Bragg amplitudes follow: stm_core.learning's model "bragg" of one bias.
globalThis.stm = globalThis.stm || {};

(() => {
  // Rows of `matrix` (n, m) times `columns`, a function of the column's position: Float64Array of n.
  const product = ({ shape: [n, m], data }, column) =>
    Float64Array.from({ length: n }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < m; j++) sum += data[i * m + j] * column(j);
      return sum;
    });

  // Amplitudes |F(G)|/|F(0)| of a table (x, y in units of a), averaged over each star, normalised as in training.
  stm.stars = function (model, table) {
    const [[total], ...rest] = stm.bragg(table, model.vectors);
    const width = rest.length / 6;
    const at = (values, star) => values.data[values.data.length === 1 ? 0 : star];
    return Float64Array.from({ length: width }, (_, star) => {
      const six = rest.slice(6 * star, 6 * star + 6);
      const part = model.channel === "symmetric" ? ([re]) => re / total : ([re, im]) => Math.hypot(re, im) / Math.abs(total);
      const values = six.map(part);
      const mean = total === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / 6;
      // In single precision, as the library keeps its inputs: χ² divides by errors not much larger than rounding.
      return Math.fround(Math.fround(Math.fround(mean) - at(model.mean, star)) / at(model.scale, star));
    });
  };

  // Curves, their errors, and these with what is extrapolated, on the fine grid, [branch][point × star]; made once.
  function refined(model) {
    if (model.made) return model.made;
    const [branches, grid, width] = model.curves.shape;
    const points = model.fine.length;
    const made = { templates: [], within: [], variance: [] };
    for (let b = 0; b < branches; b++) {
      const [templates, within, variance] = [0, 1, 2].map(() => new Float64Array(points * width));
      const far = [0, 1].map((end) => product(model.linear, (g) => model.beyond.data[(2 * b + end) * grid + g]));
      for (let k = 0; k < width; k++) {
        const curve = product(model.smooth, (g) => model.curves.data[(b * grid + g) * width + k]);
        const error = product(model.linear, (g) => model.error.data[(b * grid + g) * width + k]);
        const grown = [0, 1].map((end) => model.growth.data[(2 * b + end) * width + k]);
        for (let p = 0; p < points; p++) {
          templates[p * width + k] = curve[p];
          within[p * width + k] = error[p];
          variance[p * width + k] = error[p] + far[0][p] ** 2 * grown[0] + far[1][p] ** 2 * grown[1];
        }
      }
      made.templates.push(templates);
      made.within.push(within);
      made.variance.push(variance);
    }
    return (model.made = made);
  }

  // U, its spread (eV) and χ² per amplitude of the nearest point of all curves, from the stars in `known`.
  function nearest(model, values, known) {
    const { templates, within, variance } = refined(model);
    const [points, width] = [model.fine.length, values.length];
    const costs = templates.map((curve, b) =>
      Float64Array.from({ length: points }, (_, p) => {
        let sum = 0;
        for (const k of known) {
          const at = p * width + k;
          const square = (values[k] - curve[at]) ** 2 / variance[b][at];
          sum += (model.tail + 1) * Math.log1p(square / model.tail) + Math.log(variance[b][at]);
        }
        return sum / known.length;
      }),
    );
    let [branch, point] = [0, 0];
    costs.forEach((cost, b) => cost.forEach((value, p) => value < costs[branch][point] && ([branch, point] = [b, p])));
    const middle = Math.min(Math.max(point, 1), points - 2);
    const [left, centre, right] = [-1, 0, 1].map((k) => costs[branch][middle + k]);
    const bend = Math.max(left - 2 * centre + right, 1e-12);
    const step = model.fine[1] - model.fine[0];
    const shift = middle === point ? Math.min(1, Math.max(-1, (left - right) / (2 * bend))) : 0;
    let distance = 0;
    for (const k of known) {
      const at = point * width + k;
      distance += (values[k] - templates[branch][at]) ** 2 / within[branch][at];
    }
    distance /= known.length;
    const spread = step * Math.min(100, Math.sqrt(2 / bend)) * Math.sqrt(Math.max(1, distance));
    return { U: model.fine[point] + step * shift, spread, distance };
  }

  // {U, low, high, distance, inRange, parts}: as `stm.read`, and for each star how far it moves U: the reading with
  // all stars minus that without this one, in eV.
  stm.readStars = function (model, table) {
    const values = stm.stars(model, table);
    const all = Array.from(values.keys());
    const { U, spread, distance } = nearest(model, values, all);
    const without = (star) => nearest(model, values, all.filter((k) => k !== star)).U;
    const known = distance / model.limit;
    const half = (model.factor ?? Infinity) * spread;
    const [first, last] = [model.fine[0], model.fine[model.fine.length - 1]];
    const parts = all.map((star) => U - without(star));
    return { U, low: Math.max(first, U - half), high: Math.min(last, U + half), distance: known, inRange: known <= 1, parts };
  };
})();
