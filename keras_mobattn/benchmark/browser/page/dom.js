// Elements, numbers and messages of the page.

// An element: h('button', {class: 'main', onclick: f}, 'Run'). What is null is left out.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (typeof value === 'boolean') element.toggleAttribute(name, value);
    else if (name.startsWith('--')) element.style.setProperty(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Three digits, and never more than three after the point: 0.021, 0.195, 3.40, 21.4, 315.
export function digits(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  return value.toFixed(size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0);
}

export const megabytes = (bytes) => `${digits(bytes / 1e6)} MB`;

// Show a problem at the top of the page, or nothing for "".
export function complain(sentence) {
  const place = document.getElementById('problem');
  place.textContent = sentence;
  place.hidden = !sentence;
}

// Take a problem away again, unless another one is shown by now.
export function settle(sentence) {
  if (document.getElementById('problem').textContent === sentence) complain('');
}

// Tell those who do not see the page, once.
export function say(sentence) {
  document.getElementById('said').textContent = sentence;
}

// Figures with a name below each: [[name, text, key for data-figure]].
export function figures(rows) {
  return h('div', {class: 'figures'}, rows.map(([name, text, key]) => h('div', {}, h('b', {'data-figure': key}, text), name)));
}

// A labelled bar; share is 0..1.
export function bar(label, text, share, colour = null) {
  return h('div', {class: 'bar', '--share': String(Math.min(1, Math.max(0, share))), '--colour': colour}, h('span', {}, label), h('span', {}, text), h('i', {}));
}
