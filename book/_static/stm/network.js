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

  // A number that was fetched serves several products at a time: of 2 kernels and the patches under 4 pixels.
  const [KERNELS, PIXELS] = [2, 4];
  const whole = (n, block) => block * Math.ceil(n / block);

  // A convolution as one product of matrices: the kernels as rows, and what each pixel of the output sees as rows.
  function convolution({ weight, bias, stride, padding }, input) {
    const [nOut, nIn, k] = weight.shape;
    const [H, W] = input.shape.slice(1).map((side) => Math.floor((side + 2 * padding - k) / stride) + 1);
    const length = nIn * k * k;
    const kernels = new Float64Array(whole(nOut, KERNELS) * length);
    kernels.set(weight.data);
    const out = stm.zeros(nOut, H, W);
    if (bias) bias.data.forEach((value, o) => out.data.fill(value, o * H * W, (o + 1) * H * W));
    addProducts(out.data, kernels, patches(input, k, stride, padding, H, W), length, H * W);
    return out;
  }

  function patches(input, k, stride, padding, H, W) {
    const [nIn, height, width] = input.shape;
    const rows = new Float64Array(whole(H * W, PIXELS) * nIn * k * k);
    let n = 0;
    for (let y = -padding; y < H * stride - padding; y += stride) {
      for (let x = -padding; x < W * stride - padding; x += stride) {
        for (let c = 0; c < nIn; c++) {
          for (let v = y; v < y + k; v++) {
            const from = (c * height + v) * width;
            const within = v >= 0 && v < height;
            for (let u = x; u < x + k; u++) rows[n++] = within && u >= 0 && u < width ? input.data[from + u] : 0;
          }
        }
      }
    }
    return rows;
  }

  // target[o, p] += kernels[o] · rows[p], for `area` rows p of that length.
  function addProducts(target, kernels, rows, length, area) {
    const nOut = target.length / area;
    const sums = new Float64Array(KERNELS * PIXELS);
    for (let p = 0; p < area; p += PIXELS) {
      for (let o = 0; o < nOut; o += KERNELS) {
        products(sums, kernels, o * length, rows, p * length, length);
        for (let a = 0; a < Math.min(KERNELS, nOut - o); a++) {
          for (let b = 0; b < Math.min(PIXELS, area - p); b++) target[(o + a) * area + p + b] += sums[PIXELS * a + b];
        }
      }
    }
  }

  // Plain variables, which the engine keeps in registers; arrays here would take three times as long.
  function products(sums, kernels, first, rows, start, length) {
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    for (let n = 0; n < length; n++) {
      const a = kernels[first + n];
      const b = kernels[first + length + n];
      const at = start + n;
      const r0 = rows[at];
      const r1 = rows[at + length];
      const r2 = rows[at + 2 * length];
      const r3 = rows[at + 3 * length];
      a0 += a * r0, a1 += a * r1, a2 += a * r2, a3 += a * r3;
      b0 += b * r0, b1 += b * r1, b2 += b * r2, b3 += b * r3;
    }
    sums.set([a0, a1, a2, a3, b0, b1, b2, b3]);
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
