// One model on one backend, opened, proven, timed, and told to the computer: a row of the record.

import {prove} from './compare.js';
import {openEngine} from './engine.js';
import {battery, watchPressure} from './host.js';

const TOLD_EVERY = 5000;  // ms between two posts of a row that is being timed
const PATIENCE = 10000;  // ms for the computer to take a row
const GRACE = 1000;  // and once the person has stopped
const HIDDEN = 'The page was hidden while it was timed, which slows browsers down. Time it again.';
const STOPPED = 'Stopped on the page.';
const client = Math.random().toString(36).slice(2, 12);

let count = 0;  // of rows, by which the computer tells one from its beginnings and from a later one of the same kind

export const rows = [];  // all that were timed since the page was opened, for saving
export const unsent = new Map();  // number of a row -> the row, which the computer has not got as it is

// Time a row and return it; onChange(row) is called as it grows, `stopped()` says whether to end.
export async function timeRow(site, model, backend, protocol, onChange, stopped) {
  const row = {
    client, run: ++count, model: model.id, backend, host: site.host, date: new Date().toISOString(), whole: null, threads: null,
    fell_back: '', load_ms: null, first_ms: null, samples_ms: [], ...protocol, proof: null, error: '', done: false,
    battery: await battery(), battery_after: null, pressure: null,
  };
  let engine = null, hidden = document.hidden;
  const hide = () => { hidden ||= document.hidden; };
  document.addEventListener('visibilitychange', hide);
  const pressure = watchPressure(), stopping = watchFor(stopped, () => engine?.close());
  const beating = setInterval(() => post(site, row), TOLD_EVERY);  // also while it is compiled: the computer waits for it
  const say = (text) => onChange(row, text);
  const work = async () => {
    await post(site, row);  // here, so that Stop ends the wait as well
    engine = await openEngine(model, backend, say);
    if (stopped()) throw new Error(STOPPED);
    Object.assign(row, {load_ms: engine.load_ms, whole: engine.whole, threads: engine.threads, fell_back: engine.fell_back});
    if (model.proof) {
      row.proof = await prove(model, engine, backend, say);
      if (!row.proof.right) throw new Error(row.proof.sentence);
    }
    return engine.time(picture(model), protocol, (samples) => {
      row.samples_ms.push(...samples);
      say(`Run ${row.samples_ms.length}`);
    });
  };
  try {
    Object.assign(row, await Promise.race([stopping.stopped, work()]));
  } catch (error) {
    row.error = error.message;
  }
  clearInterval(beating);
  if (hidden && !row.error) row.error = HIDDEN;
  document.removeEventListener('visibilitychange', hide);
  engine?.close();
  Object.assign(row, {battery_after: await battery(), pressure: await pressure.end(), done: true});
  rows.push(row);
  await Promise.race([post(site, row), stopping.stopped.catch(() => new Promise((resolve) => setTimeout(resolve, GRACE)))]);
  stopping.end();
  onChange(row, '');
  return row;
}

// A promise that fails once the person has stopped, which `close` ends at once.
function watchFor(stopped, close) {
  let timer;
  const promise = new Promise((_, reject) => {
    timer = setInterval(() => {
      if (!stopped()) return;
      reject(new Error(STOPPED));
      close();
    }, 100);
  });
  promise.catch(() => {});  // nobody may be waiting any more
  return {stopped: promise, end: () => clearInterval(timer)};
}

// An image that isn't the same everywhere: some kernels are faster on zeros.
function picture(model) {
  let seed = 1;
  return Uint8Array.from({length: model.height * model.width * 3}, () => (seed = (seed * 48271) % 2147483647) >> 16 & 255);
}

let posting = Promise.resolve(), waiting = false;

// Send the row, and those that could not be sent before, one after the other; what goes wrong is told.
function post(site, row) {
  if (site.manifest.static) return posting;
  unsent.set(row.run, row);
  if (waiting) return posting;  // the post that has not begun takes this row along, as it is by then
  waiting = true;
  posting = posting.then(async () => {
    waiting = false;
    let problem = '';
    for (const each of [...unsent.values()]) {
      unsent.delete(each.run);  // before it is sent: what is added to it meanwhile puts it back
      problem = await sent(each);
      if (!problem) continue;
      unsent.set(each.run, each);
      break;
    }
    site.onPosted?.(problem);
  });
  return posting;
}

// "" where the computer has taken the row; else why it has not.
async function sent(row) {
  try {
    const headers = {'Content-Type': 'application/json'};
    const response = await fetch('results', {method: 'POST', body: JSON.stringify(row), headers, signal: AbortSignal.timeout(PATIENCE)});
    return response.ok ? '' : `The computer does not take a result: ${await response.text()}`;
  } catch {
    return 'The computer does not answer any more: this page keeps the results. Is mobattn serve still running?';
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
