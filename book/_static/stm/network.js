"use strict";
// The forward pass of a small network, layer by layer, from the weights that stm_core.viewing.inpage packs.
// Tensors are {shape, data}: pictures (channels, height, width), features (n).
globalThis.stm = globalThis.stm || {};

(() => {
  // erf to double precision where GELU needs it: a Taylor series, or the continued fraction of erfc in the tails.
  function erf(x) {
    const z = Math.abs(x);
    if (z > 6) return Math.sign(x);
    if (z < 3) {
      let [term, sum] = [z, z];
      for (let n = 1; Math.abs(term) > 1e-17; n++) {
        term *= (-z * z) / n;
        sum += term / (2 * n + 1);
      }
      return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
    }
    let fraction = z;
    for (let n = 60; n > 0; n--) fraction = z + n / 2 / fraction;
    return Math.sign(x) * (1 - Math.exp(-z * z) / (fraction * Math.sqrt(Math.PI)));
  }

  function convolution({ weight, bias, stride, padding }, input) {
    const [, height, width] = input.shape;
    const [nOut, nIn, k] = weight.shape;
    const [H, W] = [height, width].map((side) => Math.floor((side + 2 * padding - k) / stride) + 1);
    const out = stm.zeros(nOut, H, W);
    for (let o = 0; o < nOut; o++) {
      const target = out.data.subarray(o * H * W, (o + 1) * H * W).fill(bias ? bias.data[o] : 0);
      for (let c = 0; c < nIn; c++) {
        for (let tap = 0; tap < k * k; tap++) {
          const w = weight.data[(o * nIn + c) * k * k + tap];
          addShifted(target, H, W, input.data, c * height * width, height, width, w, tap, k, stride, padding);
        }
      }
    }
    return out;
  }

  function addShifted(target, H, W, source, offset, height, width, w, tap, k, stride, padding) {
    const [dy, dx] = [Math.floor(tap / k) - padding, (tap % k) - padding];
    const first = dx < 0 ? Math.ceil(-dx / stride) : 0;
    const last = Math.min(W, Math.floor((width - 1 - dx) / stride) + 1);
    for (let y = 0; y < H; y++) {
      const row = y * stride + dy;
      if (row < 0 || row >= height) continue;
      const from = offset + row * width + dx;
      for (let x = first; x < last; x++) target[y * W + x] += w * source[from + x * stride];
    }
  }

  function perChannel(input, change) {
    const area = input.data.length / input.shape[0];
    return { shape: input.shape, data: input.data.map((value, n) => change(value, Math.floor(n / area))) };
  }

  function pooled(input, size) {
    const [channels, height, width] = input.shape;
    const [H, W] = [Math.floor(height / size), Math.floor(width / size)];
    const out = stm.zeros(channels, H, W);
    out.data.forEach((_, n) => {
      const [c, y, x] = [Math.floor(n / (H * W)), Math.floor(n / W) % H, n % W];
      let most = -Infinity;
      for (let p = 0; p < size * size; p++) {
        const at = (c * height + y * size + Math.floor(p / size)) * width + x * size + (p % size);
        most = Math.max(most, input.data[at]);
      }
      out.data[n] = most;
    });
    return out;
  }

  function averaged(input) {
    const area = input.shape[1] * input.shape[2];
    const out = stm.zeros(input.shape[0]);
    input.data.forEach((value, n) => (out.data[Math.floor(n / area)] += value / area));
    return out;
  }

  function dense({ weight, bias }, input) {
    const [nOut, nIn] = weight.shape;
    const out = stm.zeros(nOut);
    for (let o = 0; o < nOut; o++) {
      let sum = bias ? bias.data[o] : 0;
      for (let i = 0; i < nIn; i++) sum += weight.data[o * nIn + i] * input.data[i];
      out.data[o] = sum;
    }
    return out;
  }

  function unitLength(input) {
    const length = Math.max(Math.hypot(...input.data), 1e-12);
    return { shape: input.shape, data: input.data.map((value) => value / length) };
  }

  const elementwise = (change) => (_, input) => ({ shape: input.shape, data: input.data.map(change) });

  const LAYERS = {
    conv: convolution,
    affine: ({ scale, shift }, input) => perChannel(input, (v, c) => scale.data[c] * v + shift.data[c]),
    relu: elementwise((v) => (v > 0 ? v : 0)),
    gelu: elementwise((v) => 0.5 * v * (1 + erf(v / Math.SQRT2))),
    maxpool: ({ size }, input) => pooled(input, size),
    average: (_, input) => averaged(input),
    flatten: (_, input) => ({ shape: [input.data.length], data: input.data }),
    unit: (_, input) => unitLength(input),
    dense,
  };

  // Outputs of all layers from `first` on, given the input of that layer.
  stm.outputs = function (network, input, first = 0) {
    const all = [];
    for (const layer of network.layers.slice(first)) all.push((input = LAYERS[layer.kind](layer, input)));
    return all;
  };

  // The picture as the first layer wants it.
  stm.normalised = function (network, picture) {
    const { mean, scale } = network;
    const at = (values, n) => values.data[values.data.length === 1 ? 0 : n];
    const data = Float64Array.from(picture.data, (value, n) => (value - at(mean, n)) / at(scale, n));
    return { shape: [1, ...picture.shape], data };
  };

  stm.lastOf = (outputs) => outputs[outputs.length - 1].data[0];
})();
