/* Let people speak their answer: record, send the sound, show what was heard, and send the answer only once it is confirmed.

   The answer itself goes through the form of the page, with the button "spoken". This file is there only where the study takes speech. */
(() => {
  "use strict";

  const RATE = 16000; // samples per second that recognisers are made for
  let recorder = null, timer = 0, isUndo = false;

  const part = (name) => document.querySelector(`#speech${name}`);

  function tell(text, isBad = false) {
    part("-heard").hidden = !text;
    part("-heard").textContent = text;
    part("-heard").toggleAttribute("data-bad", isBad);
  }

  function offer(canConfirm) {
    part("-confirm").hidden = part("-again").hidden = !canConfirm;
    part("-speak").hidden = canConfirm;
    part("-label").textContent = recorder ? "Stop" : "Speak";
    part("-speak").setAttribute("aria-pressed", String(Boolean(recorder)));
  }

  function drop() {
    clearTimeout(timer);
    if (!recorder) return;
    recorder.onstop = null;
    if (recorder.state !== "inactive") recorder.stop();
    recorder.stream.getTracks().forEach((track) => track.stop());
    recorder = null;
  }

  async function start() {
    const here = part("");
    tell("");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, autoGainControl: true } });
    } catch (error) {
      const why = error.name === "NotFoundError" ? "There is no microphone." : "The browser does not let this page use the microphone.";
      return tell(`${why} Use the buttons.`, true);
    }
    if (here !== part("")) return stream.getTracks().forEach((track) => track.stop()); // another question came meanwhile
    drop();
    recorder = new MediaRecorder(stream);
    const pieces = [];
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      clearTimeout(timer);
      offer(false);
      hear(here, new Blob(pieces, { type: pieces[0]?.type }));
    };
    recorder.start();
    timer = setTimeout(stop, 1000 * here.dataset.seconds - 500);
    tell("Listening. Press again when you have said it.");
    offer(false);
  }

  function stop() {
    if (recorder?.state === "recording") recorder.stop();
  }

  async function hear(here, blob) {
    tell("Hearing what you said …");
    let verdict;
    try {
      const form = document.querySelector("#answer"), body = new FormData();
      for (const name of ["csrf", "lease"]) body.append(name, form.elements[name].value);
      body.append("recording", new Blob([await asWav(blob)], { type: "audio/wav" }), "recording.wav");
      const response = await fetch("/speech", { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
      verdict = await response.json();
    } catch {
      verdict = { error: "Your words did not reach the server. Say it again, or use the buttons." };
    }
    if (here !== part("")) return;
    if (verdict.error) return tell(verdict.error, true);
    const sure = verdict.confidence === null ? "" : ` (${Math.round(100 * verdict.confidence)} % sure)`;
    isUndo = verdict.is_undo && Boolean(document.querySelector("#undo"));
    if (!verdict.spoken && !isUndo) {
      return tell(verdict.heard ? `Not understood; it may have been “${verdict.heard}”${sure}. Say it again, or use the buttons.` : "Nothing was understood. Say it again, or use the buttons.", true);
    }
    part("-word").value = verdict.spoken;
    tell(`Heard “${verdict.heard}”${sure}. Is this your answer: ${verdict.echo}?`);
    offer(true);
    part("-confirm").focus();
  }

  async function asWav(blob) {
    const context = new AudioContext();
    let sound;
    try { sound = await context.decodeAudioData(await blob.arrayBuffer()); } finally { context.close(); }
    const offline = new OfflineAudioContext(1, Math.max(1, Math.floor(sound.duration * RATE)), RATE);
    const source = offline.createBufferSource();
    source.buffer = sound;
    source.connect(offline.destination);
    source.start();
    const samples = (await offline.startRendering()).getChannelData(0), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const write = (at, text) => [...text].forEach((letter, number) => view.setUint8(at + number, letter.charCodeAt(0)));
    write(0, "RIFF");
    view.setUint32(4, 36 + 2 * samples.length, true);
    write(8, "WAVEfmt ");
    [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, RATE, 4], [28, 2 * RATE, 4], [32, 2, 2], [34, 16, 2]].forEach(([at, value, size]) => {
      if (size === 4) view.setUint32(at, value, true); else view.setUint16(at, value, true);
    });
    write(36, "data");
    view.setUint32(40, 2 * samples.length, true);
    samples.forEach((value, number) => view.setInt16(44 + 2 * number, Math.max(-1, Math.min(1, value)) * 32767, true));
    return view.buffer;
  }

  function again() {
    part("-word").value = "";
    tell("");
    offer(false);
    part("-speak").focus();
  }

  document.addEventListener("prepared", () => {
    drop();
    if (part("")) part("").hidden = !navigator.mediaDevices?.getUserMedia || !window.MediaRecorder;
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest("button")?.id;
    if (id === "speech-speak") if (recorder) stop(); else start();
    if (id === "speech-again") again();
    if (id === "speech-confirm" && isUndo) {
      event.preventDefault();
      document.querySelector("#undo").requestSubmit();
    }
  });
  window.addEventListener("pagehide", drop);
})();
