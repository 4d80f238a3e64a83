// The page: a list of models, and for each the screens to try, measure and prove it. #/ID/SCREEN in the address.

import {complain, h, megabytes} from './dom.js';
import {backendsHere, lookAround} from './host.js';
import {measureScreen} from './measure.js';
import {proveScreen} from './prove.js';
import {tryScreen} from './try.js';

const SCREENS = {try: ['Try it', tryScreen], measure: ['Measure it', measureScreen], prove: ['Prove it', proveScreen]};
const GONE = 'The computer does not answer any more. Is mobattn serve still running?';

let leave = () => {};  // what the screen that is shown has to end

self.addEventListener('error', (event) => complain(event.message || 'Something went wrong on this page.'));
self.addEventListener('unhandledrejection', (event) => complain(String(event.reason?.message ?? event.reason)));

// All that screens need: the manifest, this browser, and its backends.
async function start() {
  const response = await fetch('manifest.json').catch(() => null);
  if (!response?.ok) {
    document.getElementById('view').replaceChildren();
    return complain(GONE);
  }
  const manifest = await response.json();
  let host;
  try {
    host = await lookAround();
  } catch (error) {
    return complain(`This browser can't run LiteRT.js: ${error.message}`);
  }
  const site = {manifest, host, backends: backendsHere(host)};
  self.addEventListener('hashchange', () => show(site));
  show(site);
}

async function show(site) {
  const place = location.hash;
  await leave();
  if (place !== location.hash) return;  // another screen was asked for meanwhile
  leave = () => {};
  complain('');
  const [, id, screen = 'try'] = location.hash.split('/');
  const model = site.manifest.models.find((each) => each.id === id), view = document.getElementById('view');
  document.getElementById('home').hidden = !id;
  document.getElementById('title').textContent = model ? model.name : id === 'all' ? 'Measure all' : site.manifest.title;
  view.replaceChildren();
  if (id === 'all') {
    leave = measureScreen(view, site, site.manifest.models);
  } else if (model) {
    const [, fill] = SCREENS[screen] ?? SCREENS.try;
    view.append(tabs(model, screen), h('p', {class: 'quiet'}, about(model).join(' · ')));
    const place = h('section', {});
    view.append(place);
    leave = fill(place, site, [model]);
  } else {
    view.append(...list(site));
  }
  scrollTo(0, 0);
}

function tabs(model, shown) {
  return h('nav', {'aria-label': 'Screens'}, Object.entries(SCREENS).map(([name, [title]]) =>
    h('a', {href: `#/${model.id}/${name}`, 'data-tab': name, 'aria-current': name === shown ? 'page' : null}, title)));
}

const about = (model) => [model.task_title, model.precision, megabytes(model.size_bytes), model.attention, `${model.width} x ${model.height}`].filter(Boolean);

function list({manifest, host, backends}) {
  const {browser, system, device, adapter} = host;
  const said = (text, status = null) => h('p', {class: 'quiet', 'data-status': status}, text);
  const here = [device, browser, system, adapter && `GPU ${adapter}`].filter(Boolean).join(' · ');
  const missing = [...new Set(backends.map(({why}) => why).filter(Boolean))];
  const cards = manifest.models.map((model) =>
    h('a', {class: 'card', href: `#/${model.id}/try`, 'data-model': model.id}, h('b', {}, model.name),
      h('div', {class: 'chips'}, about(model).map((text) => h('span', {class: 'chip'}, text)))));
  return [
    said(here, 'host'), ...missing.map((why) => said(why)), h('div', {class: 'cards'}, cards),
    h('div', {class: 'row'}, h('a', {class: 'button grow', href: '#/all', 'data-status': 'all'}, 'Measure all')),
  ];
}

start();
