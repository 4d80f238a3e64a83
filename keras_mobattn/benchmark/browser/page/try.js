// Try it: a photo or the live camera, the model's answer, and how long each part takes.

import {answerOf} from './answers.js';
import {nextFrame, openCamera} from './camera.js';
import {answerList, drawAnswer, stillOf} from './draw.js';
import {complain, digits, figures, h} from './dom.js';
import {CLOSED, openEngine} from './engine.js';
import {decodePhoto, pixelsOf, prepare, region} from './pixels.js';

const PREFERRED = ['webgpu-fp16', 'wasm-threads', 'wasm'];
const MOST_SIDE = 640;  // of masks and of what is drawn: a photo's own size would only take time
const SMOOTH = 0.1;  // weight of the last frame in what is shown of times

// Fill the screen of one model; returns what ends it.
export function tryScreen(place, {backends}, [model]) {
  let engine = null, camera = null, facing = 'environment', left = false, photo = null, opened = 0;
  const canvas = h('canvas', {class: 'photo', 'data-status': 'picture'}), told = h('div', {'data-answer': model.answer.kind});
  const times = h('div', {}), status = h('p', {class: 'quiet', role: 'status', 'data-status': 'try'});
  const choice = h('select', {'data-status': 'backend', 'aria-label': 'Backend', onchange: () => reopen()},
    backends.map(({name, title, available}) => h('option', {value: name, disabled: !available}, title)));
  choice.value = PREFERRED.find((name) => backends.some((each) => each.name === name && each.available));
  const file = h('input', {type: 'file', accept: 'image/*', hidden: true, onchange: () => choosePhoto()});
  const live = h('button', {'data-status': 'camera', onclick: () => toggleCamera()}, 'Camera');
  const flip = h('button', {hidden: true, 'aria-label': 'Other camera', onclick: () => otherCamera()}, '⟲');
  place.append(
    h('div', {class: 'row'}, h('button', {class: 'main grow', onclick: () => file.click()}, 'Choose a photo'), live, flip, file),
    h('div', {class: 'row'}, choice), status,
    h('div', {class: 'stage'}, canvas, h('div', {}, told, times)));
  canvas.hidden = true;

  async function ready() {
    if (engine) return engine;
    const turn = ++opened, fresh = await openEngine(model, choice.value, (text) => { status.textContent = text; });
    if (left || turn !== opened) {
      fresh.close();
      return null;
    }
    status.textContent = fresh.fell_back;
    engine = fresh;
    return engine;
  }

  async function reopen() {
    engine?.close();
    engine = null;
    opened++;
    if (photo) await guarded(() => answerPhoto());
  }

  async function guarded(act) {
    complain('');
    try {
      await act();
    } catch (error) {
      if (!left && error.message !== CLOSED) complain(error.message);
      status.textContent = '';
    }
  }

  // The answer to a picture of this size, drawn; {prepare, run, result} in ms.
  async function answer(picture, width, height, mirrored) {
    const running = await ready();
    if (!running) return null;
    const scale = Math.min(1, MOST_SIDE / Math.max(width, height)), [wide, high] = [width, height].map((side) => Math.round(side * scale));
    const still = stillOf(picture, wide, high);  // what is drawn is the frame that the model saw
    const begun = performance.now(), pixels = prepare(pixelsOf(picture), model), prepared = performance.now();
    const {outputs, ms} = await running.run(pixels), ran = performance.now();
    const seen = region(model, wide, high), found = answerOf(model, outputs, wide, high);
    canvas.hidden = false;
    canvas.toggleAttribute('data-mirrored', mirrored);
    drawAnswer(canvas, still, wide, high, seen, found, mirrored);
    told.replaceChildren(...answerList(found));
    return {prepare: prepared - begun, run: ms, result: performance.now() - ran};
  }

  function showTimes({prepare: before, run, result}, perSecond) {
    times.replaceChildren(figures([
      ...(perSecond ? [['frames a second', digits(perSecond), 'fps']] : []),
      ['ms resize', digits(before), 'prepare'], ['ms run', digits(run), 'run'], ['ms result', digits(result), 'result']]));
  }

  async function choosePhoto() {
    const [chosen] = file.files;
    if (!chosen) return;
    stopCamera();
    file.value = '';
    await guarded(async () => {
      photo = await decodePhoto(chosen).catch(() => { throw new Error(`${chosen.name} is no photo that this browser can read.`); });
      await answerPhoto();
    });
  }

  async function answerPhoto() {
    const timed = await answer(photo, photo.width, photo.height, false);
    if (timed) showTimes(timed);
  }

  async function toggleCamera() {
    if (camera) return stopCamera();
    let mine = null;
    await guarded(async () => {
      [live.disabled, flip.disabled] = [true, true];  // one at a time
      mine = await openCamera(facing).finally(() => { [live.disabled, flip.disabled] = [false, false]; });
      if (left || document.hidden) return mine.close();
      camera = mine;
      photo = null;
      [live.textContent, flip.hidden] = ['Stop', false];
      await watch(mine);
    });
    if (camera === mine) stopCamera();
  }

  async function otherCamera() {
    facing = facing === 'user' ? 'environment' : 'user';
    stopCamera();
    await toggleCamera();
  }

  async function watch(watched) {
    let mean = null, last = performance.now();
    while (camera === watched && !left) {
      await nextFrame(watched.video);
      if (camera !== watched || !watched.video.videoWidth) continue;
      const {video, mirrored} = watched;
      const timed = await answer(video, video.videoWidth, video.videoHeight, mirrored).catch((error) => {
        if (error.message !== CLOSED) throw error;  // another backend was chosen meanwhile
      });
      if (!timed) continue;
      const now = performance.now(), latest = {...timed, between: now - last};
      last = now;
      mean = mean ? Object.fromEntries(Object.entries(latest).map(([name, ms]) => [name, mean[name] + SMOOTH * (ms - mean[name])])) : latest;
      showTimes(mean, 1000 / mean.between);
    }
  }

  function stopCamera() {
    camera?.close();
    camera = null;
    [live.textContent, flip.hidden] = ['Camera', true];
  }

  const hide = () => document.hidden && stopCamera();
  document.addEventListener('visibilitychange', hide);
  return () => {
    left = true;
    document.removeEventListener('visibilitychange', hide);
    stopCamera();
    engine?.close();
  };
}
