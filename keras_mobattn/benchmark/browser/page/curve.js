// Times of runs over a minute: a device that gets warm slows down.

const POINTS = 60, FIFTH = 0.2;
const SVG = 'http://www.w3.org/2000/svg';

// A curve of medians, from 0 up, over the time that the runs took.
export function curve(samples) {
  const size = Math.max(1, Math.ceil(samples.length / POINTS)), points = [];
  let seconds = 0;
  for (let i = 0; i < samples.length; i += size) {
    const part = samples.slice(i, i + size);
    seconds += part.reduce((one, other) => one + other, 0) / 1000;
    points.push([seconds, median(part)]);
  }
  const most = Math.max(...points.map(([, ms]) => ms)), svg = document.createElementNS(SVG, 'svg');
  const set = (element, values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, value));
  set(svg, {class: 'curve', viewBox: '0 0 100 100', preserveAspectRatio: 'none', role: 'img', 'aria-label': slowDown(samples)});
  const line = document.createElementNS(SVG, 'polyline'), ground = document.createElementNS(SVG, 'line');
  set(ground, {x1: 0, x2: 100, y1: 99, y2: 99});
  set(line, {points: points.map(([at, ms]) => `${(100 * at / seconds).toFixed(2)},${(99 - 90 * ms / most).toFixed(2)}`).join(' ')});
  svg.append(ground, line);
  return svg;
}

// A sentence on the last fifth of the runs against the first.
export function slowDown(samples) {
  const part = Math.max(1, Math.floor(samples.length * FIFTH)), [before, after] = [median(samples.slice(0, part)), median(samples.slice(-part))];
  const change = Math.round(100 * (after / before - 1)), seconds = Math.round(samples.reduce((one, other) => one + other, 0) / 1000);
  const word = change > 0 ? `${change} % slower than` : change < 0 ? `${-change} % faster than` : 'as fast as';
  return `After ${seconds} s: ${word} at the beginning.`;
}

const median = (values) => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
