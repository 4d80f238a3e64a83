// Measure it: one model, or all, on the backends that are ticked; bars as they come, and a curve of a minute's heat.

import {curve, slowDown} from './curve.js';
import {bar, complain, digits, figures, h, say, settle} from './dom.js';
import {rows, summary, timeRow, unsent} from './timing.js';

const FIELDS = {warmup_runs: 'warm-up', num_runs: 'runs', min_secs: 'least s', max_secs: 'most s'};
const MINUTE = {min_secs: 60, max_secs: 60};
const BARS_EVERY = 400;  // ms between two drawings of the bars while a row grows
const HEAT_SECONDS = 20;  // of runs from which on a curve says something

// Fill the screen for some models; returns what ends it.
export function measureScreen(place, site, models) {
  const {manifest, backends} = site;
  let stopped = false, running = false, lock = null, ending = Promise.resolve(), refused = '', drawnAt = 0;
  const inputs = Object.fromEntries(Object.keys(FIELDS).map((name) =>
    [name, h('input', {type: 'number', min: '0', step: 'any', inputmode: 'decimal', value: String(manifest.protocol[name]), 'data-field': name})]));
  const boxes = Object.fromEntries(backends.map(({name, available}) =>
    [name, h('input', {type: 'checkbox', checked: available, disabled: !available, 'data-backend': name})]));
  const start = h('button', {class: 'main grow', 'data-status': 'measure', onclick: () => (running ? stop() : begin({}))}, 'Measure');
  const heat = h('button', {'data-status': 'heat', onclick: () => begin(MINUTE)}, 'For a minute');
  const save = h('button', {hidden: !manifest.static, 'data-status': 'save', onclick: () => saveRows(manifest)}, 'Save results');
  const chart = h('div', {'data-status': 'bars'}), results = h('div', {});
  place.append(
    ...backends.map(({name, title, why}) => h('label', {class: 'choice'}, boxes[name], h('span', {}, title, h('small', {}, why)))),
    h('div', {class: 'row'}, Object.entries(FIELDS).map(([name, text]) => h('label', {class: 'field'}, text, inputs[name]))),
    h('div', {class: 'row'}, start, heat, save), chart, results);
  if (!site.host.isolated) place.append(h('p', {class: 'quiet'}, 'This page is not isolated, so that its clock has steps of up to 1 ms: short runs are told from one another by many runs alone.'));
  site.onPosted = (sentence) => {
    if (sentence) complain(sentence);
    else settle(refused);  // other problems stay
    refused = sentence;
    save.hidden = !manifest.static && !unsent.size;
  };

  function begin(changes) {
    ending = run(changes);
  }

  function stop() {
    stopped = true;
    start.disabled = true;
  }

  function protocolOf(changes) {
    const told = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, Number(input.value)]));
    const protocol = {...told, ...changes};
    for (const name of ['warmup_runs', 'num_runs']) protocol[name] = Math.round(protocol[name]);
    if (!(protocol.num_runs >= 1 && protocol.warmup_runs >= 0 && protocol.min_secs >= 0 && protocol.max_secs > 0 && protocol.max_secs >= protocol.min_secs)) {
      throw new Error('Expected at least one run, and least seconds up to most seconds. Correct the numbers.');
    }
    return protocol;
  }

  async function run(changes) {
    let protocol;
    try {
      protocol = protocolOf(changes);
      complain('');
    } catch (error) {
      return complain(error.message);
    }
    [running, stopped] = [true, false];
    [start.textContent, heat.disabled] = ['Stop', true];
    lock = await navigator.wakeLock?.request('screen').catch(() => null);
    const chosen = backends.filter(({name}) => boxes[name].checked);
    for (const model of models) {
      for (const {name, title} of chosen) {
        if (stopped) break;
        const shown = h('div', {class: 'result', 'data-backend': name, 'data-model': model.id});
        results.prepend(shown);
        const row = await timeRow(site, model, name, protocol, (each, text) => show(shown, each, text), () => stopped);
        say(row.error ? `${headingOf(row)}: ${row.error}` : `${headingOf(row)}: ${digits(summary(row.samples_ms).median)} ms`);
      }
    }
    await lock?.release().catch(() => {});
    [running, start.disabled, start.textContent, heat.disabled] = [false, false, 'Measure', false];
  }

  function headingOf(row) {
    const model = manifest.models.find(({id}) => id === row.model), {title} = backends.find(({name}) => name === row.backend);
    return models.length > 1 ? `${model.name}, ${title}` : title;
  }

  function show(place, row, text) {
    place.replaceChildren(...describe(headingOf(row), row, text));
    const now = performance.now();
    if (!row.done && now - drawnAt < BARS_EVERY) return;
    drawnAt = now;
    drawBars(row);
  }

  function drawBars(latest) {
    const good = [...rows, ...(latest ? [latest] : [])].filter((row) => row.samples_ms.length && !row.error && models.some(({id}) => id === row.model));
    const timed = [...new Map(good.map((row) => [`${row.model} ${row.backend}`, row])).values()];  // the latest of a kind
    const medians = timed.map((row) => summary(row.samples_ms).median), most = Math.max(...medians);
    chart.replaceChildren(...timed.map((row, i) => bar(headingOf(row), `${digits(medians[i])} ms`, medians[i] / most)));
  }

  for (const row of rows.filter(({model}) => models.some(({id}) => id === model))) {  // of earlier visits
    results.prepend(h('div', {class: 'result', 'data-backend': row.backend, 'data-model': row.model}, describe(headingOf(row), row, '')));
  }
  drawBars();

  return async () => {
    stopped = true;
    await ending;  // the next screen's engine is not to run beside this one's
    site.onPosted = null;
  };
}

// What is shown of a row: heading, verdict, figures, curve, remarks.
function describe(heading, row, text) {
  const verdict = row.error ? ['bad', 'not timed'] : row.proof?.right ? ['good', 'right'] : ['', ''];
  const shown = [h('h3', {}, heading, h('span', {class: verdict[0], 'data-figure': 'right'}, row.done ? verdict[1] : '…'))];
  if (row.error) shown.push(h('p', {class: 'bad', 'data-status': 'error'}, row.error));
  if (row.samples_ms.length && !row.error) {
    const {median, p90, min, std} = summary(row.samples_ms);
    shown.push(figures([
      ['ms median', digits(median), 'median'], ['ms p90', digits(p90), 'p90'], ['ms min', digits(min), 'min'], ['ms deviation', digits(std), 'std'],
      ['ms first', digits(row.first_ms), 'first'], ['ms load', digits(row.load_ms), 'load'], ['runs', String(row.samples_ms.length), 'runs']]));
    const seconds = row.samples_ms.reduce((one, other) => one + other, 0) / 1000;
    if (seconds >= HEAT_SECONDS) shown.push(curve(row.samples_ms), h('p', {'data-figure': 'heat'}, slowDown(row.samples_ms)));
  }
  const whole = row.whole === null ? '' : row.whole ? 'The GPU took it whole.' : row.fell_back || 'The GPU took a part of it, the CPU the rest.';
  for (const remark of [row.proof?.right ? row.proof.sentence : '', whole, row.done ? '' : text]) {
    if (remark) shown.push(h('p', {class: 'quiet'}, remark));
  }
  return shown;
}

async function saveRows(manifest) {
  const text = JSON.stringify({title: manifest.title, litert: manifest.litert, rows}, null, 1), name = 'mobattn_results.json';
  const file = new File([text], name, {type: 'application/json'});
  if (navigator.canShare?.({files: [file]})) {
    await navigator.share({files: [file], title: manifest.title}).catch(() => {});
    return;
  }
  const link = h('a', {href: URL.createObjectURL(file), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
