"use strict";
// What the page says about a picture: U, its interval, whether the network knows such pictures, and why it says so.
globalThis.stm = globalThis.stm || {};

(() => {
  const STEP = 1e-4; // of a feature, for slopes of the small head by central differences
  const BLOCK = 8; // pixels a side that are covered at a time, for a network without feature maps

  // {U, low, high, distance, inRange, map}: U and its interval in eV, how far the picture is from those of the training,
  // 1 where the known range ends, and the attribution map with values from 0 to 1.
  stm.read = function (network, picture) {
    const input = stm.normalised(network, picture);
    const outputs = stm.outputs(network, input);
    const U = stm.lastOf(outputs);
    const distance = novelty(network.familiar, outputs[network.features].data) / network.limit;
    return {
      U,
      low: U - (network.factor ?? Infinity),
      high: U + (network.factor ?? Infinity),
      distance,
      inRange: distance <= 1,
      map: network.maps === null ? stm.occlusion(network, input, U) : stm.activation(network, outputs, input.shape[1]),
    };
  };

  // Mahalanobis distance of features to those of the training.
  function novelty({ mean, whiten }, features) {
    const n = mean.data.length;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      let along = 0;
      for (let j = 0; j < n; j++) along += whiten.data[i * n + j] * (features[j] - mean.data[j]);
      sum += along * along;
    }
    return Math.sqrt(sum);
  }

  // Class activation map: feature maps weighed by the slope of U with their mean. For a network that averages its maps
  // this is Grad-CAM up to scale, and it needs no gradients of the convolutions.
  stm.activation = function (network, outputs, size) {
    const pooled = outputs[network.average];
    const maps = outputs[network.maps];
    const [channels, height, width] = maps.shape;
    const sum = stm.zeros(height, width);
    const U = (data) => stm.lastOf(stm.outputs(network, { shape: pooled.shape, data }, network.average + 1));
    for (let c = 0; c < channels; c++) {
      const [up, down] = [Float64Array.from(pooled.data), Float64Array.from(pooled.data)];
      const step = STEP * Math.max(1, Math.abs(up[c]));
      up[c] += step;
      down[c] -= step;
      const slope = (U(up) - U(down)) / (2 * step);
      for (let n = 0; n < height * width; n++) sum.data[n] += slope * maps.data[c * height * width + n];
    }
    const map = stm.enlarged(scaled(sum.data.map((v) => Math.max(0, v)), sum.shape), size);
    return scaled(map.data, map.shape);
  };

  // How far U moves when a block of pixels is covered by the mean training picture.
  stm.occlusion = function (network, input, U) {
    const [, height, width] = input.shape;
    const map = stm.zeros(height, width);
    for (let y = 0; y < height; y += BLOCK) {
      for (let x = 0; x < width; x += BLOCK) {
        const covered = Float64Array.from(input.data);
        const block = [];
        for (let v = y; v < Math.min(y + BLOCK, height); v++) {
          for (let u = x; u < Math.min(x + BLOCK, width); u++) block.push(v * width + u);
        }
        block.forEach((n) => (covered[n] = 0));
        const moved = Math.abs(stm.lastOf(stm.outputs(network, { shape: input.shape, data: covered })) - U);
        block.forEach((n) => (map.data[n] = moved));
      }
    }
    return scaled(map.data, map.shape);
  };

  function scaled(data, shape) {
    const most = data.reduce((a, b) => Math.max(a, b), 0);
    const least = data.reduce((a, b) => Math.min(a, b), Infinity);
    const span = most - least;
    return { shape, data: data.map((value) => (span > 0 ? (value - least) / span : 0)) };
  }

  // Bilinear enlargement with pixel centres, edges repeated.
  stm.enlarged = function (map, size) {
    const [height, width] = map.shape;
    const out = stm.zeros(size, size);
    const place = (n, side) => Math.min(side - 1, Math.max(0, ((n + 0.5) * side) / size - 0.5));
    for (let v = 0; v < size; v++) {
      for (let u = 0; u < size; u++) {
        const [y, x] = [place(v, height), place(u, width)];
        const [y0, x0] = [Math.floor(y), Math.floor(x)];
        const [y1, x1] = [Math.min(y0 + 1, height - 1), Math.min(x0 + 1, width - 1)];
        const at = (row, column) => map.data[row * width + column];
        const upper = at(y0, x0) * (1 - x + x0) + at(y0, x1) * (x - x0);
        const lower = at(y1, x0) * (1 - x + x0) + at(y1, x1) * (x - x0);
        out.data[v * size + u] = upper * (1 - y + y0) + lower * (y - y0);
      }
    }
    return out;
  };
})();
