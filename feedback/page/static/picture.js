/* Let people react by a picture: take or choose one, make it smaller, send it, show what was seen, and send the answer only once it is confirmed.

   The answer itself goes through the form of the page, with the button "seen". This file is there only where the study takes pictures. */
(() => {
  "use strict";

  const MOST_PIXELS = 1024; // of the longer side; what is sent is drawn anew, so that no place or name in the file goes with it
  const QUALITY = 0.9; // of a JPEG

  const part = (name) => document.querySelector(`#picture${name}`);

  function tell(text, isBad = false) {
    part("-seen").hidden = !text;
    part("-seen").textContent = text;
    part("-seen").toggleAttribute("data-bad", isBad);
  }

  function offer(canConfirm) {
    part("-confirm").hidden = part("-again").hidden = !canConfirm;
    part("-take").hidden = canConfirm;
    if (!canConfirm) part("-word").value = "";
  }

  async function smaller(file) {
    const picture = await createImageBitmap(file), canvas = document.createElement("canvas");
    const scale = Math.min(1, MOST_PIXELS / Math.max(picture.width, picture.height));
    canvas.width = Math.max(1, Math.round(scale * picture.width));
    canvas.height = Math.max(1, Math.round(scale * picture.height));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white"; // behind what is transparent
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const drawn = await new Promise((resume) => canvas.toBlob(resume, "image/jpeg", QUALITY));
    if (!drawn) throw new Error("the picture could not be drawn");
    return drawn;
  }

  async function see(here, file) {
    offer(false);
    tell("Looking at the picture …");
    let picture, verdict;
    try {
      picture = await smaller(file);
    } catch {
      if (here === part("")) tell("This file is no picture that the browser can read. Choose another, or use the buttons.", true);
      return;
    }
    try {
      const form = document.querySelector("#answer"), body = new FormData();
      for (const name of ["csrf", "lease"]) body.append(name, form.elements[name].value);
      body.append("picture", picture, "picture.jpg");
      const response = await fetch("/picture", { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
      verdict = await response.json();
    } catch {
      verdict = { error: "The picture did not reach the server. Send it again, or use the buttons." };
    }
    if (here !== part("")) return; // another question came meanwhile
    if (verdict.error) return tell(verdict.error, true);
    const [likeliest] = verdict.seen, what = likeliest ? ` It may be “${likeliest.label}” (${likeliest.share.toFixed(2)}).` : "";
    if (!verdict.seen_word) return tell(`Neither good nor bad can be seen clearly.${what} Send another picture, or use the buttons.`, true);
    offer(true);
    part("-word").value = verdict.seen_word;
    tell(`Seen: ${verdict.echo}, ${verdict.confidence.toFixed(2)}. Is this your answer?`);
    part("-confirm").focus();
  }

  document.addEventListener("click", (event) => {
    const id = event.target.closest("button")?.id;
    if (id !== "picture-take" && id !== "picture-again") return;
    offer(false);
    tell("");
    part("-take").focus();
    part("-file").value = ""; // the same file may be chosen again
    part("-file").click();
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "picture-file" && event.target.files.length) see(part(""), event.target.files[0]);
  });
})();
