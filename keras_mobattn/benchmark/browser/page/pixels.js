// From a photo or a frame to what a model sees: as keras_mobattn.data.resizing has it, to within a level of 255.

// A photo's bitmap, upright, its numbers as they are in the file where the browser can leave them so.
export function decodePhoto(blob) {
  return createImageBitmap(blob, {colorSpaceConversion: 'none'}).catch(() => createImageBitmap(blob));  // older ones don't know it
}

const STRIP = 2 ** 22;  // pixels: phones have no canvas for a whole photo of 24 million, and draw nothing there

// RGBA of a bitmap, a canvas or a video's frame; what is transparent is white.
export function pixelsOf(picture) {
  const width = picture.videoWidth ?? picture.width, height = picture.videoHeight ?? picture.height;
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP / width))), context = contextOf(width, rows);
  if (rows === height) return {data: strip(context, picture, 0, width, height), width, height};
  const data = new Uint8ClampedArray(4 * width * height);
  for (let top = 0; top < height; top += rows) data.set(strip(context, picture, top, width, Math.min(rows, height - top)), 4 * width * top);
  return {data, width, height};
}

let drawn;

function contextOf(width, height) {
  if (drawn?.canvas.width !== width || drawn.canvas.height !== height) {
    const canvas = Object.assign(document.createElement('canvas'), {width, height});
    drawn = canvas.getContext('2d', {willReadFrequently: true});
  }
  return drawn;
}

function strip(context, picture, top, width, height) {
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, -top);
  return context.getImageData(0, 0, width, height).data;
}

// {height, width, top, left}: the size that a photo is resized to, and where the model's input is cut out of it.
export function covering(model, width, height) {
  const {crop} = model.view;
  if (crop === null) return {height: model.height, width: model.width, top: 0, left: 0};
  const [high, wide] = [model.height, model.width].map((side) => (crop < 1 ? Math.floor(side / crop) : side));
  const scaled = high * width >= wide * height
    ? {height: high, width: Math.floor(width * high / height)}
    : {height: Math.floor(height * wide / width), width: wide};
  return {...scaled, top: halfOf(scaled.height - model.height), left: halfOf(scaled.width - model.width)};
}

// The part of a photo that the model sees, in its pixels.
export function region(model, width, height) {
  const scaled = covering(model, width, height), [right, down] = [width / scaled.width, height / scaled.height];
  return {x: scaled.left * right, y: scaled.top * down, width: model.width * right, height: model.height * down};
}

// What the model sees of a photo's RGBA: Uint8Array RGB of its height and width.
export function prepare({data, width, height}, model) {
  const scaled = covering(model, width, height), kernel = KERNELS[model.view.interpolation];
  const across = spansOf(width, scaled.width, scaled.left, model.width, kernel);
  const down = spansOf(height, scaled.height, scaled.top, model.height, kernel);
  const firstRow = Math.min(...down.starts), lastRow = Math.max(...down.starts.map((start, i) => start + down.weights[i].length));
  const narrow = new Float32Array((lastRow - firstRow) * model.width * 3);  // rows of the photo, columns of the input
  for (let y = firstRow, to = 0; y < lastRow; y++) {
    for (let x = 0; x < model.width; x++, to += 3) {
      const weights = across.weights[x];
      let red = 0, green = 0, blue = 0;
      for (let i = 0, from = 4 * (y * width + across.starts[x]); i < weights.length; i++, from += 4) {
        red = f(red + f(weights[i] * data[from]));
        green = f(green + f(weights[i] * data[from + 1]));
        blue = f(blue + f(weights[i] * data[from + 2]));
      }
      narrow[to] = byte(Math.floor(red + 0.5));
      narrow[to + 1] = byte(Math.floor(green + 0.5));
      narrow[to + 2] = byte(Math.floor(blue + 0.5));
    }
  }
  const row = 3 * model.width, seen = new Uint8Array(model.height * row);
  for (let y = 0; y < model.height; y++) {
    const weights = down.weights[y];
    for (let x = 0; x < row; x++) {
      let sum = 0;
      for (let i = 0, from = (down.starts[y] - firstRow) * row + x; i < weights.length; i++, from += row) sum = f(sum + f(weights[i] * narrow[from]));
      seen[y * row + x] = byte(toEven(sum));
    }
  }
  return seen;
}

const KERNELS = {  // name -> radius, and the weight at a distance: TensorFlow's "triangle" and "keyscubic"
  bilinear: {radius: 1, weight: (x) => Math.max(0, 1 - x)},
  bicubic: {radius: 2, weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0)},
};

// For each of `count` pixels, from `first` on, of a side that is resized: the first pixel that it is made of, and weights.
// All in float32, as TensorFlow computes it: halves are rounded the same way.
function spansOf(side, resized, first, count, {radius, weight}) {
  const step = f(1 / f(resized / side)), wide = Math.max(step, 1), starts = [], weights = [];
  for (let i = first; i < first + count; i++) {
    const center = f(f(i + 0.5) * step), reach = f(radius * wide);
    const start = Math.max(0, Math.ceil(f(f(center - reach) - 0.5))), end = Math.min(side - 1, Math.floor(f(f(center + reach) - 0.5)));
    const row = Float32Array.from({length: end - start + 1}, (_, k) => weight(Math.abs(f(f(start + k + 0.5 - center) / wide))));
    const share = f(1 / row.reduce((one, other) => f(one + other), 0));
    starts.push(start);
    weights.push(row.map((each) => each * share));
  }
  return {starts, weights};
}

const f = Math.fround;
const byte = (value) => Math.min(255, Math.max(0, value));
const halfOf = (pixels) => toEven(pixels / 2);

// Rounded to the nearest whole number, halves to the even one.
function toEven(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
