// An answer, drawn over the photo or the frame, and beside it.

import {bar, h} from './dom.js';

const COLOURS = ['#e5484d', '#30a46c', '#0090ff', '#f5a524', '#8e4ec6', '#12a594', '#e93d82', '#99702d'];
const SHARE = 0.55;  // of a class's colour over the photo

// A copy of a picture in a canvas of this size: a video goes on while the model runs.
export function stillOf(picture, width, height) {
  const still = Object.assign(document.createElement('canvas'), {width, height});
  still.getContext('2d').drawImage(picture, 0, 0, width, height);
  return still;
}

// Draw the picture with what the model says of it into a canvas; `seen` is the part that the model sees.
export function drawAnswer(canvas, picture, width, height, seen, answer, mirrored) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  if (mirrored) context.setTransform(-1, 0, 0, 1, width, 0);  // as one sees oneself; texts are drawn upright
  context.drawImage(picture, 0, 0, width, height);
  DRAWN[answer.kind]?.(context, width, height, answer, mirrored);
  if (seen.width < width - 1 || seen.height < height - 1) {
    context.fillStyle = 'rgb(0 0 0 / .45)';
    const hole = new Path2D();
    hole.rect(0, 0, width, height);
    hole.rect(seen.x, seen.y, seen.width, seen.height);
    context.fill(hole, 'evenodd');
  }
  context.resetTransform();
}

const DRAWN = {
  boxes: (context, width, height, {objects}, mirrored) => {
    const size = Math.max(12, Math.round(Math.min(width, height) / 24));
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.lineWidth = Math.max(2, size / 6);
    for (const {label, number, score, box: [top, left, bottom, right]} of objects) {
      const colour = COLOURS[number % COLOURS.length], text = `${label} ${score.toFixed(2)}`;
      const [x, y] = [left * width, top * height], wide = context.measureText(text).width + 8;
      context.strokeStyle = context.fillStyle = colour;
      context.strokeRect(x, y, (right - left) * width, (bottom - top) * height);
      const above = Math.max(0, y - size - 6), shownAt = mirrored ? width - right * width : x;
      context.save();
      context.resetTransform();
      context.fillRect(shownAt, above, wide, size + 6);
      context.fillStyle = 'white';
      context.fillText(text, shownAt + 4, above + size);
      context.restore();
    }
  },
  mask: (context, width, height, {numbers, classes, ...mask}) => {
    const colours = new Map(classes.map(({number, colour, label}) => [number, isBackground(label) ? null : colour]));
    const layer = new ImageData(mask.width, mask.height);
    for (let i = 0; i < numbers.length; i++) {
      const colour = colours.get(numbers[i]);
      if (colour) layer.data.set([...colour, 255 * SHARE], 4 * i);
    }
    const small = Object.assign(document.createElement('canvas'), {width: mask.width, height: mask.height});
    small.getContext('2d').putImageData(layer, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, width, height);
  },
};

// The answer in words, for beside the picture.
export function answerList(answer) {
  const rows = LISTED[answer.kind](answer);
  return rows.length ? rows : [h('p', {class: 'quiet'}, 'Nothing found.')];
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const isBackground = (label) => label.toLowerCase() === 'background';

const LISTED = {
  classes: ({classes}) => classes.map(({label, score}) => bar(label, score >= 0 && score <= 1 ? percent(score) : score.toFixed(2), score)),
  boxes: ({objects}) => objects.slice(0, 8).map(({label, number, score}) => bar(label, percent(score), score, COLOURS[number % COLOURS.length])),
  mask: ({classes}) => classes.filter(({share}) => share >= 0.002).map(({label, share, colour}) => bar(label, percent(share), share, `rgb(${colour})`)),
  numbers: ({outputs}) => outputs.map(({name, first}) => h('p', {}, `${name}: ${first.map((each) => each.toPrecision(4)).join(', ')} …`)),
};
