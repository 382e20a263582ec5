"use strict";

const form = document.getElementById("conversation");
const messages = document.getElementById("messages");
const { sessionId, conversationId, cameraSettings } = form.dataset;
const camera = new CameraManager(sessionId, "LLM", JSON.parse(cameraSettings), conversationId);
camera.initialize();

function add(text, who) {
  const item = document.createElement("li");
  item.className = who;
  item.textContent = text;
  messages.append(item);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  camera.onMessageSend();
  const body = new FormData(form);
  add(body.get("message"), "mine");
  form.reset();
  const answer = await (await fetch(form.action, { method: "POST", body })).json();
  add(answer.answer, "theirs");
  form.querySelector("button").disabled = answer.finished;
});
