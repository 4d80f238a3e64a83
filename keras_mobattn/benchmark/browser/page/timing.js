// One model on one backend, opened, proven, timed, and told to the computer: a row of the record.

import {prove} from './compare.js';
import {openEngine} from './engine.js';

const TOLD_EVERY = 2000;  // ms between two posts of a row that is being timed
const HIDDEN = 'The page was hidden while it was timed, which slows browsers down. Time it again.';
const client = Math.random().toString(36).slice(2, 12);

export const rows = [];  // all that were timed since the page was opened, for saving

// Time a row and return it; onChange(row) is called as it grows, `stopped()` says whether to end.
export async function timeRow(site, model, backend, protocol, onChange, stopped) {
  const row = {
    client, model: model.id, backend, host: site.host, date: new Date().toISOString(), whole: null, threads: null, fell_back: '',
    load_ms: null, first_ms: null, samples_ms: [], ...protocol, proof: null, error: '', done: false,
  };
  let engine = null, toldAt = 0, hidden = false, telling = Promise.resolve();
  const tell = () => {
    toldAt = performance.now();
    telling = telling.then(() => post(site, row));
    return telling;
  };
  const hide = () => { hidden ||= document.hidden; };
  document.addEventListener('visibilitychange', hide);
  try {
    await tell();
    const say = (text) => onChange(row, text);
    engine = await openEngine(model, backend, say);
    Object.assign(row, {load_ms: engine.load_ms, whole: engine.whole, threads: engine.threads, fell_back: engine.fell_back});
    if (model.proof) {
      row.proof = await prove(model, engine, backend, say);
      if (!row.proof.right) throw new Error(row.proof.sentence);
    }
    const ending = watchFor(stopped, engine);
    const timed = await Promise.race([ending.stopped, engine.time(picture(model), protocol, (samples) => {
      row.samples_ms.push(...samples);
      onChange(row, `Run ${row.samples_ms.length}`);
      if (performance.now() - toldAt > TOLD_EVERY) tell();
    })]).finally(ending.end);
    Object.assign(row, timed);
  } catch (error) {
    row.error = error.message;
  }
  if (hidden && !row.error) row.error = HIDDEN;
  document.removeEventListener('visibilitychange', hide);
  engine?.close();
  row.done = true;
  rows.push(row);
  await tell();
  onChange(row, '');
  return row;
}

// A promise that fails once the person has stopped, which ends the engine's worker as well.
function watchFor(stopped, engine) {
  let timer;
  const promise = new Promise((_, reject) => {
    timer = setInterval(() => {
      if (!stopped()) return;
      engine.close();
      reject(new Error('Stopped on the page.'));
    }, 100);
  });
  return {stopped: promise, end: () => clearInterval(timer)};
}

// An image that isn't the same everywhere: some kernels are faster on zeros.
function picture(model) {
  let seed = 1;
  return Uint8Array.from({length: model.height * model.width * 3}, () => (seed = (seed * 48271) % 2147483647) >> 16 & 255);
}

// Send the row; a site without a server keeps it for saving. What goes wrong is told once for each row.
async function post(site, row) {
  if (site.manifest.static) return;
  try {
    const response = await fetch('results', {method: 'POST', body: JSON.stringify(row), headers: {'Content-Type': 'application/json'}});
    site.onPosted?.(response.ok ? '' : await response.text());
  } catch {
    site.onPosted?.('The computer does not answer any more: this page keeps the results. Is mobattn serve still running?');
  }
}

// {median, p90, min, std} of samples, percentiles as Python's benchmark has them.
export function summary(samples) {
  const sorted = [...samples].sort((one, other) => one - other), mean = samples.reduce((one, other) => one + other, 0) / samples.length;
  const at = (share) => {
    const place = share * (sorted.length - 1), low = Math.floor(place);
    return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  const variance = samples.reduce((sum, each) => sum + (each - mean) ** 2, 0) / samples.length;
  return {median: at(0.5), p90: at(0.9), min: sorted[0], std: Math.sqrt(variance)};
}
