// Live frames of a camera.

const WANTED = {width: {ideal: 1280}, height: {ideal: 720}};

// Start the camera that faces the world, or the user; throws an Error with a sentence.
export async function openCamera(facing) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error('The camera takes HTTPS or localhost. Choose a photo instead.');
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {...WANTED, facingMode: facing}, audio: false});
  } catch (error) {
    const why = {NotAllowedError: 'This page may not use the camera: allow it in the browser.', NotFoundError: 'There is no camera here.', NotReadableError: 'Another app uses the camera.'};
    throw new Error(`${why[error.name] ?? `The camera can't be had: ${error.message}.`} Or choose a photo.`);
  }
  const video = document.createElement('video');
  Object.assign(video, {muted: true, playsInline: true, className: 'unseen', srcObject: stream});
  document.body.append(video);  // some browsers give frames only of videos that are in the page
  await video.play();
  const [track] = stream.getVideoTracks();
  return {
    video,
    mirrored: track.getSettings().facingMode === 'user' || (facing === 'user' && !track.getSettings().facingMode),
    close: () => {
      for (const each of stream.getTracks()) each.stop();
      video.srcObject = null;
      video.remove();
    },
  };
}

const LATEST = 250;  // ms to wait for a frame: a camera in the dark has few

// Wait for the next frame of a video, with its own clock where the browser has that.
export function nextFrame(video) {
  return new Promise((resolve) => {
    setTimeout(resolve, LATEST);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
