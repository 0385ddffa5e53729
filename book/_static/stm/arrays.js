"use strict";
// Numbers that come with a page, and the reading of them. One object, `stm`, holds all of the page's functions.
globalThis.stm = globalThis.stm || {};

(() => {
  // {shape, float32 | float64: base64 of little-endian values} as {shape, data}; {shape, levels: base64 of bytes} as
  // {shape, data} with values from 0 to 1.
  stm.array = function ({ shape, float32, float64, levels }) {
    const bytes = Uint8Array.from(atob(float32 ?? float64 ?? levels), (letter) => letter.charCodeAt(0));
    if (levels !== undefined) return { shape, data: Float32Array.from(bytes, (level) => level / 255) };
    return { shape, data: float32 !== undefined ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer) };
  };

  // Packed numbers anywhere inside `value`, unpacked.
  stm.unpacked = function (value) {
    if (Array.isArray(value)) return value.map(stm.unpacked);
    if (value === null || typeof value !== "object") return value;
    if ("float32" in value || "float64" in value || "levels" in value) return stm.array(value);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, stm.unpacked(inner)]));
  };

  // Values of any kind as a blank tensor of that shape.
  stm.zeros = function (...shape) {
    return { shape, data: new Float64Array(shape.reduce((product, n) => product * n, 1)) };
  };

  // Run a generator to its end at once (a test), or in slices that leave the page responsive.
  stm.finish = function (steps) {
    let step = steps.next();
    while (!step.done) step = steps.next();
    return step.value;
  };

  stm.unhurried = function (steps, stillWanted = () => true) {
    return new Promise((resolve, reject) => {
      const slice = () => {
        try {
          const until = performance.now() + 12; // milliseconds: less than a frame of the screen
          while (performance.now() < until) {
            if (!stillWanted()) return resolve(null);
            const step = steps.next();
            if (step.done) return resolve(step.value);
          }
          setTimeout(slice);
        } catch (error) {
          reject(error);
        }
      };
      slice();
    });
  };
})();
