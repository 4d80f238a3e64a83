// What a model's outputs mean: classes, boxes, a mask. What each file needs for that stands in its `answer`.

const TOP = 5;

// The answer to one image; sides of masks are at most those of the photo.
export function answerOf(model, outputs, photoWidth, photoHeight) {
  return KINDS[model.answer.kind](model, outputs, photoWidth, photoHeight);
}

const KINDS = {
  classes: (model, outputs) => {
    const scores = scoresOf(model, outputs);
    const order = [...scores.keys()].sort((one, other) => scores[other] - scores[one] || one - other);
    return {kind: 'classes', classes: order.slice(0, TOP).map((i) => ({label: labelOf(model, i), score: scores[i]}))};
  },
  boxes: (model, outputs) => {
    const {min_score: least} = model.answer;
    const objects = objectsOf(model, outputs).filter(({score}) => score >= least);
    return {kind: 'boxes', objects: objects.map((each) => ({...each, label: labelOf(model, each.number)}))};
  },
  mask: (model, outputs, width, height) => {
    const numbers = maskOf(model, outputs, width, height), counts = new Map();
    for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1);
    const classes = [...counts].sort((one, other) => other[1] - one[1]);
    return {
      kind: 'mask', width, height, numbers,
      classes: classes.map(([number, count]) => ({label: labelOf(model, number), number, share: count / numbers.length, colour: colourOf(model, number)})),
    };
  },
  numbers: (model, outputs) => ({
    kind: 'numbers', outputs: Object.entries(outputs).map(([name, values]) => ({name, first: [...values.slice(0, 8)]})),
  }),
};

// A score for each class, of one output; where a file gives one probability, that of the second class.
export function scoresOf(model, outputs) {
  const scores = outputs[model.answer.output];
  return scores.length === 1 ? [1 - scores[0], scores[0]] : [...scores];
}

// The objects {number, score, box: [ymin, xmin, ymax, xmax]} of a detector's outputs, the best first, by its rules.
export function objectsOf(model, outputs) {
  if (model.answer.found) return foundObjects(model.answer.found, outputs);
  const {anchors, scales, rules, background} = model.answer;
  const [offsets, scores] = [outputs[model.answer.boxes], outputs[model.answer.scores]];
  const count = anchors.length, columns = scores.length / count, classes = columns - background;
  const order = model.answer.order;  // places of (y, x, height, width) in offsets
  const boxes = anchors.map(([x, y, width, height], i) => {
    const [dy, dx, dh, dw] = order.map((place, k) => offsets[4 * i + place] / scales[k]);
    const [cy, cx, h, w] = [dy * height + y, dx * width + x, Math.exp(dh) * height, Math.exp(dw) * width];
    return [cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2];
  });
  const found = [];
  for (let i = 0; i < count; i++) {
    const row = scores.subarray(i * columns, (i + 1) * columns);
    const shares = (background ? softmax(row) : row).slice(background);
    if (rules.one_class) {
      const best = shares.indexOf(Math.max(...shares));
      found.push({number: best, score: shares[best], box: boxes[i]});
    } else {
      for (let k = 0; k < classes; k++) found.push({number: k, score: shares[k], box: boxes[i]});
    }
  }
  const kept = pick(found.filter(({score}) => score > rules.min_score), rules);
  return kept.slice(0, rules.max_objects).map((each) => ({...each, box: each.box.map((side) => Math.min(1, Math.max(0, side)))}));
}

// The objects of a file that has found them itself; `found` names its outputs.
function foundObjects({location, category, score, number}, outputs) {
  const count = Math.round(outputs[number][0]);
  return Array.from({length: count}, (_, i) => ({
    number: Math.round(outputs[category][i]), score: outputs[score][i], box: [...outputs[location].subarray(4 * i, 4 * i + 4)],
  }));
}

// Those that overlap no better one, of the same class where the rules say so.
function pick(found, {candidates, max_overlap: most, by_class: byClass, one_class: oneClass}) {
  const groups = new Map();
  for (const each of found) {
    const key = byClass && !oneClass ? each.number : 0;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(each);
  }
  const kept = [];
  for (const group of groups.values()) {
    group.sort((one, other) => other.score - one.score);
    const chosen = [];
    for (const each of group.slice(0, candidates)) {
      if (!chosen.some((better) => (!byClass || better.number === each.number) && overlap(better.box, each.box) > most)) chosen.push(each);
    }
    kept.push(...chosen);
  }
  return kept.sort((one, other) => other.score - one.score);
}

// Intersection over union of two boxes [ymin, xmin, ymax, xmax].
export function overlap(one, other) {
  const height = Math.min(one[2], other[2]) - Math.max(one[0], other[0]), width = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  const shared = Math.max(0, height) * Math.max(0, width);
  const area = ([top, left, bottom, right]) => (bottom - top) * (right - left);
  const union = area(one) + area(other) - shared;
  return union > 0 ? shared / union : 0;
}

// The number of each pixel's class, Uint8Array: scores are resized with aligned corners, then the best is taken.
export function maskOf(model, outputs, width, height) {
  const {output, shape: [rows, columns, classes]} = model.answer, scores = outputs[output];
  const across = alignedPlaces(columns, width), down = alignedPlaces(rows, height), numbers = new Uint8Array(width * height);
  const row = new Float32Array(columns * classes);
  for (let y = 0; y < height; y++) {
    const {low, high, share} = down[y], upper = low * columns * classes, lower = high * columns * classes;
    for (let i = 0; i < row.length; i++) row[i] = scores[upper + i] + share * (scores[lower + i] - scores[upper + i]);
    for (let x = 0; x < width; x++) {
      const place = across[x], left = place.low * classes, right = place.high * classes;
      let best = 0, most = -Infinity;
      for (let k = 0; k < classes; k++) {
        const score = row[left + k] + place.share * (row[right + k] - row[left + k]);
        if (score > most) [best, most] = [k, score];
      }
      numbers[y * width + x] = best;
    }
  }
  return numbers;
}

function alignedPlaces(side, wanted) {
  const step = wanted > 1 ? (side - 1) / (wanted - 1) : 0;
  return Array.from({length: wanted}, (_, i) => {
    const at = Math.fround(i * Math.fround(step)), low = Math.min(Math.floor(at), side - 1);
    return {low, high: Math.min(low + 1, side - 1), share: at - low};
  });
}

function softmax(row) {
  const top = Math.max(...row), powers = Array.from(row, (each) => Math.exp(each - top));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((each) => each / sum);
}

const labelOf = (model, number) => model.labels[number] ?? `class ${number}`;

function colourOf(model, number) {
  const value = Number.parseInt((model.colours[number] ?? '#808080').slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
