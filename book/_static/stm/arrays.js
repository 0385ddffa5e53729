"use strict";
// Numbers that come with a page, and the reading of them. One object, `stm`, holds all of the page's functions.
globalThis.stm = globalThis.stm || {};

(() => {
  // {shape, float32: base64 of little-endian values} as {shape, data: Float32Array}.
  stm.array = function (packed) {
    const bytes = Uint8Array.from(atob(packed.float32), (letter) => letter.charCodeAt(0));
    return { shape: packed.shape, data: new Float32Array(bytes.buffer) };
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
