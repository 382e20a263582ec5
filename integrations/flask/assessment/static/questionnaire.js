"use strict";

const form = document.getElementById("questionnaire");
const { sessionId, responseId, cameraSettings } = form.dataset;
const camera = new CameraManager(sessionId, "PHQ", JSON.parse(cameraSettings), responseId);
camera.initialize();

form.addEventListener("change", () => camera.onButtonClick());
for (const question of form.querySelectorAll("fieldset")) {
  question.addEventListener("focusin", () => camera.onQuestionStart(), { once: true });
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await camera.finish();
  } finally {
    form.submit();
  }
});
