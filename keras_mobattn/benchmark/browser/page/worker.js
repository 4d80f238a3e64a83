// One model in one backend, away from the page: a worker of its own, whose end gives all memory back. engine.js talks to it.
// No module: LiteRT.js brings its WebAssembly by importScripts.

const BACKENDS = {
  'wasm': {accelerator: 'wasm'},
  'wasm-threads': {accelerator: 'wasm', threads: true},
  'webgpu-fp16': {accelerator: 'webgpu', precision: 'fp16'},
  'webgpu-fp32': {accelerator: 'webgpu', precision: 'fp32'},
};
const SAMPLES_EVERY = 500;  // ms between two messages with samples
const MOST_RUNS = 150_000;  // that the computer takes in a row

let litert, model, shape, type, input, firstMs;

const calls = {
  // Load LiteRT.js and compile the file's bytes.
  async open({bytes, backend, jspi, height, width, channels, dtype}) {
    const way = BACKENDS[backend];
    litert = await import('./litert/litert.js');
    const mixes = way.accelerator === 'webgpu' && jspi;  // a part of the model on the GPU, the rest on the CPU
    const build = way.threads ? {threads: true} : mixes ? {jspi: true} : {};
    const folder = new URL('./litert/wasm/', self.location).href;
    // In a worker Emscripten looks beside the worker's script, and threads start from it
    self.Module = {locateFile: (name) => folder + name, mainScriptUrlOrBlob: `${folder}litert_wasm_threaded_internal.js`};
    await litert.loadLiteRt(folder, build);
    const started = performance.now();
    const options = {accelerator: way.accelerator, ...(way.precision ? {gpuOptions: {precision: way.precision}} : {})};
    model = await litert.loadAndCompile(new Uint8Array(bytes), options);
    const load_ms = performance.now() - started;
    shape = [1, height, width, channels];
    type = dtype === 'uint8' ? Uint8Array : Float32Array;
    const onGpu = way.accelerator === 'webgpu';
    return {
      load_ms,
      fell_back: model.options.accelerator !== way.accelerator,  // without JSPI, a model that the GPU takes in part
      whole: onGpu ? model.isFullyAccelerated && model.options.accelerator === 'webgpu' : null,
      threads: onGpu ? null : model.options.cpuOptions?.numThreads ?? 1,
    };
  },

  // The outputs for one image, RGB, and the ms of the run with reading back.
  async run({pixels}) {
    fill(pixels);
    return once();
  },

  // Runs one after the other: at least num_runs and min_secs, at most max_secs, which bounds the warm-up, too.
  async time({pixels, protocol}, tell) {
    const {warmup_runs, num_runs, min_secs, max_secs} = protocol;
    fill(pixels);
    const warmUntil = performance.now() + 1000 * max_secs;
    for (let warmed = 0; warmed < warmup_runs && performance.now() < warmUntil; warmed++) await once();
    const started = performance.now(), samples = [];
    let told = 0, toldAt = started;
    for (;;) {
      samples.push((await once()).ms);
      const now = performance.now(), seconds = (now - started) / 1000;
      const last = samples.length >= MOST_RUNS || seconds >= max_secs || (samples.length >= num_runs && seconds >= min_secs);
      if (last || now - toldAt > SAMPLES_EVERY) {
        tell(samples.slice(told));
        [told, toldAt] = [samples.length, now];
      }
      if (last) return {first_ms: firstMs, samples_ms: samples};
    }
  },
};

function fill(pixels) {
  input?.delete();
  input = new litert.Tensor(type.from(pixels), shape);
}

async function once() {
  const started = performance.now();
  const given = await model.run({image: input});
  const outputs = {};
  for (const [name, tensor] of Object.entries(given)) outputs[name] = await tensor.data();
  const ms = Number((performance.now() - started).toFixed(4));
  firstMs ??= ms;  // the very first, which may have been one of the images to compare on
  for (const [name, tensor] of Object.entries(given)) {
    outputs[name] = outputs[name].slice();  // out of WebAssembly's memory
    tensor.delete();
  }
  return {outputs, ms};
}

self.onmessage = async ({data: {id, call, argument}}) => {
  const tell = (samples) => self.postMessage({id, samples});
  try {
    self.postMessage({id, value: await calls[call](argument, tell)});
  } catch (error) {
    self.postMessage({id, error: String(error?.message ?? error)});
  }
};
