"use strict";
// Reading U by the curves that the Bragg amplitudes follow: stm_core.learning's model "bragg", for one bias at a time.
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
  stm.stars = function (model, table, bias) {
    const [[total], ...rest] = stm.bragg(table, model.vectors);
    const width = model.n_stars;
    const at = (values, star) => values.data[values.data.length === 1 ? 0 : bias * width + star];
    return Float64Array.from({ length: width }, (_, star) => {
      const six = rest.slice(6 * star, 6 * star + 6);
      const values = model.channel === "symmetric" ? six.map(([re]) => re / total) : six.map(([re, im]) => Math.hypot(re, im) / Math.abs(total));
      const mean = total === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / 6;
      return (mean - at(model.mean, star)) / at(model.scale, star);
    });
  };

  // Curves and errors of one bias on the fine grid: {templates, variance} as [branch][point × star], kept once made.
  function curvesAt(model, bias) {
    model.made = model.made || {};
    if (model.made[bias]) return model.made[bias];
    const [branches, grid, features] = model.curves.shape;
    const [points, width] = [model.refine.shape[0], model.n_stars];
    const made = { templates: [], variance: [] };
    for (let b = 0; b < branches; b++) {
      const [templates, variance] = [new Float64Array(points * width), new Float64Array(points * width)];
      const far = product(model.refine, (g) => model.beyond.data[b * grid + g]).map((value) => Math.max(0, value) ** 2);
      for (let k = 0; k < width; k++) {
        const feature = bias * width + k;
        const curve = product(model.refine, (g) => model.curves.data[(b * grid + g) * features + feature]);
        for (let p = 0; p < points; p++) {
          templates[p * width + k] = curve[p];
          variance[p * width + k] = model.error.data[feature] + far[p] * model.growth.data[feature];
        }
      }
      made.templates.push(templates);
      made.variance.push(variance);
    }
    return (model.made[bias] = made);
  }

  // U, its spread (eV) and χ² per amplitude of the nearest point of all curves, from the stars in `known`.
  function nearest(model, values, bias, known) {
    const { templates, variance } = curvesAt(model, bias);
    const [points, width] = [model.refine.shape[0], model.n_stars];
    const costs = templates.map((curve, b) =>
      Float64Array.from({ length: points }, (_, p) => {
        let sum = 0;
        for (const k of known) {
          const at = p * width + k;
          sum += (values[k] - curve[at]) ** 2 / variance[b][at] + Math.log(variance[b][at]);
        }
        return sum / known.length;
      }),
    );
    let [branch, point] = [0, 0];
    costs.forEach((cost, b) => cost.forEach((value, p) => value < costs[branch][point] && ([branch, point] = [b, p])));
    const middle = Math.min(Math.max(point, 1), points - 2);
    const [left, centre, right] = [-1, 0, 1].map((k) => costs[branch][middle + k]);
    const bend = Math.max(left - 2 * centre + right, 1e-12);
    const fine = model.fine.data;
    const step = fine[1] - fine[0];
    const shift = middle === point ? Math.min(1, Math.max(-1, (left - right) / (2 * bend))) : 0;
    let distance = 0;
    for (const k of known) {
      distance += (values[k] - templates[branch][point * width + k]) ** 2 / model.error.data[bias * width + k];
    }
    distance /= known.length;
    const spread = step * Math.min(100, Math.sqrt(2 / bend)) * Math.sqrt(Math.max(1, distance));
    return { U: fine[point] + step * shift, spread, distance };
  }

  // {U, low, high, distance, inRange, parts}: as `stm.read`, and for each star how far it moves U: the reading with
  // all stars minus that without this one, in eV.
  stm.readStars = function (model, table, bias) {
    const values = stm.stars(model, table, bias);
    const all = Array.from(values.keys());
    const { U, spread, distance } = nearest(model, values, bias, all);
    const without = (star) => nearest(model, values, bias, all.filter((k) => k !== star)).U;
    const known = distance / model.limit;
    const half = model.factor * spread;
    return { U, low: Math.max(0, U - half), high: U + half, distance: known, inRange: known <= 1, parts: all.map((k) => U - without(k)) };
  };
})();
