// The smallest page with a camera, to copy. Served from the host that also serves /client/ and /assessment/camera/.

import { CameraError, Recorder } from '/client/filmgate.js';

const recorder = new Recorder({
  sessionId: new URLSearchParams(location.search).get('session'),
  owner: document.documentElement.dataset.userId ?? '', // whoever is signed in, by any name of yours
  video: document.getElementById('preview'),
});
document.querySelector('filmgate-status').recorder = recorder;

document.getElementById('begin').addEventListener('click', async () => {
  try {
    await recorder.start();
    recorder.tag({ phq_response_id: 4711 });
    recorder.onQuestionStart('phq9-1');
  } catch (problem) {
    // `reason`: denied, none, busy, insecure, unsupported. The assessment goes on without a camera.
    console.warn(problem instanceof CameraError ? problem.reason : problem);
  }
});
document.getElementById('question').addEventListener('change', () => recorder.onButtonClick());
document.getElementById('stop').addEventListener('click', () => recorder.stop());
document.getElementById('withdraw').addEventListener('click', () => recorder.withdraw());
