// A model that runs: one file in one backend, in a worker of its own.

import {lookAround} from './host.js';

export const CLOSED = 'It was stopped.';  // what runs fail with when their engine is closed

const DTYPES = ['float32', 'uint8'];  // of inputs and outputs, that LiteRT.js has

// Load and compile a model of the manifest for a backend; throws an Error with a sentence.
export async function openEngine(model, backend, onProgress = () => {}) {
  const other = [model.dtype, ...model.outputs.map(({dtype}) => dtype)].find((dtype) => !DTYPES.includes(dtype));
  if (other) throw new Error(`LiteRT.js has inputs and outputs of float32 and uint8, and this file has ${other}. Export it with the default ones.`);
  const {features} = await lookAround();
  onProgress('Downloading');
  const bytes = await download(model, onProgress).catch((error) => {
    throw error instanceof RangeError ? new Error(inWords(error.message, model)) : error;
  });
  onProgress('Compiling');
  const worker = new Worker(new URL('./worker.js', import.meta.url));
  const {call, fail} = callsOf(worker);
  const {height, width, channels, dtype} = model;
  const loading = call('open', {bytes, backend, jspi: features.jspi, height, width, channels, dtype}, null, [bytes]);
  const opened = await loading.catch((error) => {
    worker.terminate();
    throw new Error(inWords(error.message, model));
  });
  return {
    ...opened,
    fell_back: opened.fell_back ? 'The GPU does not take it whole, so that this browser, which has no JSPI, ran all of it on the CPU.' : '',
    run: async (pixels) => {
      const {outputs, ms} = await call('run', {pixels});
      for (const {name, scale, zero_point: zero} of model.outputs) {
        if (scale) outputs[name] = Float32Array.from(outputs[name], (value) => scale * (value - zero));
      }
      return {outputs, ms};
    },
    time: (pixels, protocol, onSamples) => call('time', {pixels, protocol}, onSamples),
    close: () => {
      worker.terminate();
      fail(CLOSED);
    },
  };
}

async function download(model, onProgress) {
  const response = await fetch(model.path).catch(() => null);
  if (!response?.ok) throw new Error(`${model.name} can't be had: ${response ? `the answer was ${response.status}` : 'the computer does not answer'}.`);
  const reader = response.body.getReader(), bytes = new Uint8Array(model.size_bytes);
  let length = 0;
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    if (length + value.length > bytes.length) break;
    bytes.set(value, length);
    length += value.length;
    onProgress(`Downloading, ${Math.round(100 * length / bytes.length)} %`);
  }
  if (length !== bytes.length) throw new Error(`${model.name} came in part: ${length} of ${bytes.length} bytes. Try again.`);
  return bytes.buffer;
}

// call(name, argument, onSamples, transferred) gives a promise of the worker's answer; fail(sentence) ends all of them.
function callsOf(worker) {
  const waiting = new Map();
  let count = 0, ended = '';
  const fail = (sentence) => {
    ended = sentence;
    for (const {reject} of waiting.values()) reject(new Error(sentence));
    waiting.clear();
  };
  worker.onmessage = ({data: {id, value, error, samples}}) => {
    const {resolve, reject, onSamples} = waiting.get(id) ?? {};
    if (samples) return onSamples?.(samples);
    waiting.delete(id);
    if (error === undefined) resolve?.(value);
    else reject?.(new Error(error));
  };
  worker.onerror = (event) => fail(event.message || 'The worker stopped.');
  const call = (name, argument, onSamples, transferred = []) =>
    new Promise((resolve, reject) => {
      if (ended) return reject(new Error(ended));  // nobody would answer
      waiting.set(++count, {resolve, reject, onSamples});
      worker.postMessage({id: count, call: name, argument}, transferred);
    });
  return {call, fail};
}

const SENTENCES = [  // what runtimes say -> what it means
  [/memory|OOM|allocation|array length/i, (model) => `${model.name} (${(model.size_bytes / 1e6).toFixed(0)} MB) does not fit this browser's memory. Try a smaller file, int8 say.`],
  [/custom|unresolved|TFLite_Detection/i, () => 'LiteRT.js has no operator for objects found in the file. Export it with: mobattn export RUN --form anchors.'],
  [/flatbuffer|identifier|not a valid|Failed to load model|build model/i, (model) => `${model.name} is no .tflite file that LiteRT.js can read.`],
];

function inWords(message, model) {
  const known = SENTENCES.find(([pattern]) => pattern.test(message));
  return known ? `${known[1](model)} (${message})` : `LiteRT.js refuses ${model.name}: ${message}`;
}
