// Whether a backend computes what the Keras model does: the figures of keras_mobattn.export's check, on the same images.

import {maskOf, objectsOf, overlap, scoresOf} from './answers.js';

const MAX_SNR_DB = 144;  // float32's own rounding

// Run the proof's images and compare; the file and the backend are right within the limits that the manifest has for them.
export async function prove(model, engine, backend, onProgress = () => {}) {
  const {count, limits, agreement_title: title, source} = model.proof;
  const images = new Uint8Array(await fetched(model.proof.images));
  const expected = Object.fromEntries(await Promise.all(
    Object.entries(model.proof.outputs).map(async ([name, path]) => [name, new Float32Array(await fetched(path))])));
  const size = images.length / count, received = [];
  for (let i = 0; i < count; i++) {
    onProgress(`Image ${i + 1} of ${count}`);
    received.push((await engine.run(images.subarray(i * size, (i + 1) * size))).outputs);
  }
  // Of objects that the file has found itself, two that are as good may have changed places: their scores are compared
  const compared = model.answer.found ? {[model.answer.found.score]: expected[model.answer.found.score]} : expected;
  const figures = worst(compared, received);
  const agreement = agreementOf(model, expected, received, limits[backend].exact ? 'exact' : 'rough');
  const {max_error: most, min_agreement: least} = limits[backend];
  const share = shareOf(figures);
  const right = share <= most && (agreement === null || agreement >= least);  // false for NaN
  const same = agreement === null ? '' : `, ${title} ${(100 * agreement).toFixed(1)} %`;
  const found = `largest error ${share.toExponential(1)} of the spread, ${figures.snr_db.toFixed(0)} dB${same}`;
  const wanted = `${most.toExponential(0)}${agreement === null || !least ? '' : `, ${title} ${(100 * least).toFixed(1)} %`}`;
  const sentence = right ? `As ${source} on ${count} images: ${found}.` : `Not as ${source} on ${count} images: ${found}; expected ${wanted} or better.`;
  return {right, ...figures, agreement, agreement_title: title, images: count, sentence};
}

async function fetched(path) {
  const response = await fetch(path).catch(() => null);
  if (!response?.ok) throw new Error("The images to compare with can't be had: the computer does not answer. Is mobattn serve still running?");
  return response.arrayBuffer();
}

// The figures {output, max_abs_error, spread, snr_db} of the output with the largest error for its spread.
export function worst(expected, received) {
  const all = Object.entries(expected).map(([name, values]) => ({output: name, ...figuresOf(values, joined(received, name))}));
  const errorOf = (figures) => (Number.isNaN(shareOf(figures)) ? Infinity : shareOf(figures));
  return all.reduce((one, other) => (errorOf(other) > errorOf(one) ? other : one));
}

// The largest error as a share of the spread; no error is none, also of an output that is the same for all images.
const shareOf = ({max_abs_error: error, spread}) => (error === 0 ? 0 : error / spread);

function joined(rows, name) {
  const length = rows[0][name]?.length ?? 0, whole = new Float32Array(length * rows.length);
  rows.forEach((row, i) => row[name] && whole.set(row[name], i * length));
  return whole;
}

function figuresOf(expected, received) {
  if (expected.length !== received.length) throw new Error(`The file gives ${received.length} numbers where Keras gives ${expected.length}.`);
  let least = Infinity, most = -Infinity, error = 0, sum = 0, squares = 0, noise = 0;
  for (let i = 0; i < expected.length; i++) {
    const value = expected[i], difference = received[i] - value;
    if (value < least) least = value;
    if (value > most) most = value;
    if (!Number.isNaN(error) && !(Math.abs(difference) <= error)) error = Math.abs(difference);  // NaN stays
    sum += value;
    squares += value * value;
    noise += difference * difference;
  }
  const n = expected.length, variance = Math.max(squares / n - (sum / n) ** 2, 0);
  const mean = Math.max(noise / n, variance * 10 ** (-MAX_SNR_DB / 10));
  return {max_abs_error: error, spread: most - least, snr_db: mean === 0 ? MAX_SNR_DB : 10 * Math.log10(variance / mean)};
}

// One image's outputs out of {name: numbers of all images}.
function rowOf(all, i, count) {
  const parts = Object.entries(all).map(([name, values]) => [name, values.subarray(i * values.length / count, (i + 1) * values.length / count)]);
  return Object.fromEntries(parts);
}

// The share of answers that are the same, null where a model has none; how: 'exact' or 'rough'.
export function agreementOf(model, expected, received, how) {
  return AGREEMENTS[model.answer.kind](model, expected, received, how);
}

const bestOf = (scores) => scores.indexOf(Math.max(...scores));

const AGREEMENTS = {
  classes: (model, expected, received) =>
    meanOf(received, (row, i) => Number(bestOf(scoresOf(model, rowOf(expected, i, received.length))) === bestOf(scoresOf(model, row)))),
  boxes: (model, expected, received, how) => {
    const pairs = received.map((row, i) => [objectsOf(model, rowOf(expected, i, received.length)), objectsOf(model, row)]);
    const alike = model.answer.alike[how];
    return sameObjects(pairs, alike, model.answer.min_score) ?? sameObjects(pairs, alike, 0);
  },
  mask: (model, expected, received) =>
    meanOf(received, (row, i) => {
      const [wanted, found] = [rowOf(expected, i, received.length), row].map((outputs) => maskOf(model, outputs, model.width, model.height));
      return wanted.reduce((count, number, k) => count + (number === found[k]), 0) / wanted.length;
    }),
  numbers: () => null,
};

const meanOf = (rows, figure) => rows.reduce((sum, row, i) => sum + figure(row, i), 0) / rows.length;

// The share of objects with scores from `least` that both have; null where there are none.
function sameObjects(pairs, {overlap: closest, score: nearest, near}, least) {
  const alike = (one, other) =>
    one.number === other.number && Math.abs(one.score - other.score) <= nearest &&
    (overlap(one.box.map((side) => side / near), other.box.map((side) => side / near)) >= closest ||
      one.box.every((side, k) => Math.abs(side - other.box[k]) <= near));
  let shared = 0, total = 0;
  for (const [ours, theirs] of pairs) {
    for (const [these, those] of [[ours, theirs], [theirs, ours]]) {
      const counted = these.filter(({score}) => score >= least), nearly = those.filter(({score}) => score >= least - nearest);
      total += counted.length;
      shared += counted.filter((each) => nearly.some((other) => alike(each, other))).length;
    }
  }
  return total ? shared / total : null;
}
