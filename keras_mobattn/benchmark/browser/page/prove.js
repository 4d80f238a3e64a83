// Prove it: whether each backend computes what the reference does.

import {prove} from './compare.js';
import {h, say} from './dom.js';
import {openEngine} from './engine.js';

// Fill the screen of one model; returns what ends it.
export function proveScreen(place, {backends}, [model]) {
  let left = false, engine = null, ending = Promise.resolve();
  const results = h('div', {});
  const start = h('button', {class: 'main grow', 'data-status': 'prove', onclick: () => { ending = run(); }}, 'Compare');
  place.append(
    h('p', {}, model.proof ? `Runs ${model.proof.count} images whose answers are known, by ${model.proof.source}.` : 'There is nothing to compare this file with.'),
    h('div', {class: 'row'}, start), results);
  start.disabled = !model.proof;

  async function run() {
    start.disabled = true;
    results.replaceChildren();
    for (const {name, title, available, why} of backends) {
      if (left) return;
      const said = h('p', {'data-status': 'sentence'}, why), verdict = h('span', {'data-figure': 'right'}, available ? '…' : '');
      results.append(h('div', {class: 'result', 'data-backend': name}, h('h3', {}, title, verdict), said));
      if (!available) continue;
      try {
        engine = await openEngine(model, name, (text) => { said.textContent = text; });
        if (left) engine.close();
        const found = await prove(model, engine, name, (text) => { said.textContent = text; });
        said.textContent = [found.sentence, engine.fell_back].filter(Boolean).join(' ');
        verdict.textContent = found.right ? 'right' : 'wrong';
        verdict.className = found.right ? 'good' : 'bad';
      } catch (error) {
        said.textContent = error.message;
        verdict.textContent = 'failed';
        verdict.className = 'bad';
      }
      say(`${title}: ${said.textContent}`);
      engine?.close();
      engine = null;
    }
    start.disabled = false;
  }

  return async () => {
    left = true;
    engine?.close();
    await ending;
  };
}
