/* Add to the page what forms cannot: keys, answers that survive a lost connection, drafts, and handling words and ranks directly.

   Everything works without this file. What it shows comes from the server as escaped HTML; what it makes itself is text, never markup. */
(() => {
  "use strict";

  const SETTLE = 250; // ms after a new question in which a second press of the last key or button is not taken for an answer to it
  const DRAFT_AFTER = 300; // ms without typing
  const LOOK_AGAIN = 8000; // ms
  const KEEP_DRAFTS = 14 * 86400e3; // ms
  const MOST_CELLS = 4e6; // of a comparison of two texts

  document.documentElement.classList.add("script");

  const fallback = new Map(); // for browsers that give no storage, or no more
  const storage = {
    get(name) {
      if (fallback.has(name)) return fallback.get(name);
      try { return JSON.parse(localStorage.getItem(name)); } catch { return null; }
    },
    set(name, value) {
      fallback.delete(name);
      try { localStorage.setItem(name, JSON.stringify(value)); } catch { fallback.set(name, value); }
    },
    remove(name) {
      fallback.delete(name);
      try { localStorage.removeItem(name); } catch { /* there is none */ }
    },
    names() {
      try { return Object.keys(localStorage); } catch { return [...fallback.keys()]; }
    },
  };

  let main, isBusy = false, isReady = false, keysOfKind = () => false, spent = 0, since = 0, waiting = 0, fading = 0;

  const answerForm = () => main.querySelector("#answer");
  const lease = () => main.dataset.lease || "";
  const draftName = () => `draft:${lease()}`;
  const unsentName = () => `unsent:${document.body.dataset.person}`;
  const unsent = () => storage.get(unsentName()) || [];
  const hasKeys = () => storage.get("keys") !== false;
  const sleep = (ms) => new Promise((resume) => setTimeout(resume, ms));

  function randomKey() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function announce(text, isBad = false, stays = false) {
    const status = document.querySelector("#status");
    clearTimeout(fading);
    status.textContent = text;
    status.toggleAttribute("data-bad", isBad);
    if (!stays) fading = setTimeout(() => { status.textContent = ""; }, isBad ? 8000 : 2000);
  }

  function setBusy(value) {
    isBusy = value;
    main.setAttribute("aria-busy", String(value));
  }

  function secondsSpent() {
    return ((spent + (document.hidden ? 0 : performance.now() - since)) / 1000).toFixed(3);
  }

  // Drafts: what was filled in outlives a reload.

  let drafting = 0;

  function saveDraftSoon() {
    clearTimeout(drafting);
    drafting = setTimeout(saveDraft, DRAFT_AFTER);
  }

  function saveDraft() {
    clearTimeout(drafting);
    if (!answerForm() || isBusy) return;
    const fields = [...new FormData(answerForm())].filter(([name]) => !["csrf", "lease", "key", "seconds"].includes(name));
    storage.set(draftName(), { at: Date.now(), key: answerForm().elements.key.value, fields });
  }

  function restoreDraft() {
    const form = answerForm(), draft = storage.get(draftName());
    form.elements.key.value = draft?.key || randomKey();
    if (!draft) return;
    for (const control of form.querySelectorAll("textarea, select, input[type=checkbox]")) {
      const values = draft.fields.filter(([name]) => name === control.name).map(([, value]) => value);
      if (control.type === "checkbox") control.checked = values.includes(control.value);
      else if (values.length) control.value = values[0];
    }
    if (form.elements.comment?.value) main.querySelector("#comment").open = true;
  }

  function dropOldDrafts() {
    for (const name of storage.names()) {
      if (name.startsWith("draft:") && !(storage.get(name)?.at > Date.now() - KEEP_DRAFTS)) storage.remove(name);
    }
  }

  // Answers: kept in this browser until the server says that they are stored.

  async function send(form, submitter) {
    const fields = [...new FormData(form, submitter)].filter(([, value]) => typeof value === "string");
    const key = form.id === "answer" ? form.elements.key.value : `${answerForm().elements.key.value}-skip`;
    const said = fields.filter(([name]) => !["csrf", "key", "seconds"].includes(name));
    const entry = { where: form.getAttribute("action"), lease: lease(), key, fields: [...said, ["key", key], ["seconds", secondsSpent()]] };
    saveDraft();
    storage.set(unsentName(), [...unsent().filter((other) => other.key !== key), entry]);
    setBusy(true);
    announce("");
    await deliver();
  }

  async function deliver() {
    clearTimeout(waiting);
    for (let pause = 500; unsent().length; ) {
      const entry = unsent()[0];
      const verdict = await post(entry.where, entry.fields);
      if (verdict.isLost) {
        announce("Not saved yet: the server cannot be reached. Your answer is kept in this browser and is sent as soon as it is back.", true, true);
        await sleep(verdict.pause || (pause = Math.min(pause * 2, 5000)));
        continue;
      }
      if (verdict.isOut) {
        announce(`Not saved yet: ${verdict.error} Your answer is kept in this browser.`, true, true);
        setBusy(false);
        return;
      }
      storage.set(unsentName(), unsent().filter((other) => other.key !== entry.key));
      if (!verdict.saved) {
        announce(verdict.error, true);
        if (entry.lease === lease()) answerForm().elements.key.value = randomKey();
        setBusy(false);
        return;
      }
      storage.remove(`draft:${entry.lease}`);
      announce("Saved");
      if (entry.lease === lease() || main.dataset.screen !== "question") await go("/");
    }
    setBusy(false);
  }

  async function post(where, fields) {
    const body = new FormData();
    for (const [name, value] of fields) body.append(name, value);
    body.append("csrf", document.querySelector("input[name=csrf]")?.value || "");
    try {
      const response = await fetch(where, { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
      if (response.status >= 500 || response.status === 429) return { isLost: true, pause: 1000 * response.headers.get("Retry-After") };
      return { ...(await response.json()), isOut: response.status === 401 };
    } catch {
      return { isLost: true };
    }
  }

  async function undo(form) {
    setBusy(true);
    const verdict = await post("/undo", [...new FormData(form)].filter(([name]) => name !== "csrf"));
    if (verdict.saved) {
      await go(verdict.next);
      announce("Taken back");
    } else announce(verdict.error || "The server cannot be reached, so your last answer may not be taken back. Nothing is lost: press Undo again in a moment.", true);
    setBusy(false);
  }

  // What is not stored yet cannot be taken back, and may be stored at any moment: so an undo is refused, and the answer stays.
  function refuseUndo() {
    if (unsent().length) announce("Nothing was taken back: your answer is not saved yet. It is kept in this browser; press Undo once it is saved.", true);
  }

  // Show another page without leaving this one, so that a server that is away does not take the page with it.

  async function go(where, isQuiet = false) {
    for (let pause = 500; ; pause = Math.min(pause * 2, 5000)) {
      try {
        const response = await fetch(where, { headers: { Accept: "text/html" } });
        if (response.status < 500) return show(new URL(response.url).pathname, await response.text(), isQuiet);
      } catch { /* it is away */ }
      if (isQuiet) return;
      announce("Saved. The next question comes as soon as the server can be reached again.", false, true);
      await sleep(pause);
    }
  }

  function show(path, html, isQuiet) {
    const page = new DOMParser().parseFromString(html, "text/html");
    if (isQuiet && path === location.pathname) return;
    for (const place of ["header.top", "main"]) document.querySelector(place).replaceWith(document.importNode(page.querySelector(place), true));
    document.body.dataset.person = page.body.dataset.person;
    document.title = page.title;
    history.replaceState(null, "", path);
    window.scrollTo(0, 0);
    if (document.querySelector("#status").textContent.startsWith("Saved.")) announce("Saved");
    prepare();
    (main.querySelector("h1") || main).focus({ preventScroll: true });
    if (main.querySelector("h1") && document.activeElement !== main.querySelector("h1")) main.focus({ preventScroll: true });
  }

  function prepare() {
    main = document.querySelector("main");
    isReady = false;
    spent = 0;
    since = performance.now();
    keysOfKind = () => false;
    const here = main;
    setTimeout(() => { if (here === main) { isReady = true; main.dataset.ready = ""; } }, SETTLE);
    if (main.dataset.screen === "question") {
      restoreDraft();
      if (main.dataset.kind === "rank") prepareRanking();
      if (main.dataset.kind === "span") prepareSpans();
      if (main.dataset.kind === "correct") prepareCorrection();
      const differences = main.querySelector("#differences");
      if (differences) differences.checked = storage.get("differences") === true;
    }
    if (main.dataset.screen === "done") {
      const look = async () => {
        if (here !== main) return;
        if (!document.hidden) await go("/", true);
        if (here === main) setTimeout(look, LOOK_AGAIN);
      };
      setTimeout(look, LOOK_AGAIN);
    }
    const keys = main.querySelector("#keys-on");
    if (keys) keys.checked = hasKeys();
    document.documentElement.classList.toggle("no-keys", !hasKeys());
    document.dispatchEvent(new Event("prepared"));
  }

  // Keys.

  function onKey(event) {
    const target = event.target, isLetter = /^[a-z]$/i.test(event.key);
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("textarea, select, input:not([type=checkbox], [type=radio])") || target.isContentEditable) {
      if (event.key === "Escape") (main.querySelector("#heading") || main).focus();
      return;
    }
    if (!hasKeys() || main.dataset.screen !== "question") return;
    if (keysOfKind(event)) return event.preventDefault();
    if (event.repeat || (event.shiftKey && isLetter)) return;
    const pressed = press(event.key.toLowerCase(), target);
    if (!pressed) return;
    event.preventDefault();
    if (isReady && !isBusy) pressed();
    else if (isBusy && event.key.toLowerCase() === "u") refuseUndo();
  }

  function press(key, target) {
    const button = [...main.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    if (button) return () => button.click();
    if (key === "enter") {
      const sends = main.querySelector("[name=choice][value=send]");
      return sends && !target.closest("button, a, summary, input, .word") ? () => sends.click() : null;
    }
    return {
      "?": () => location.assign("/help"),
      u: () => main.querySelector("#undo")?.requestSubmit(),
      s: () => open("#skip", "input[type=radio]"),
      c: () => open("#comment", "textarea"),
      d: () => main.querySelector("#differences")?.click(),
    }[key];
  }

  function open(details, first) {
    const found = main.querySelector(details);
    if (!found) return;
    found.open = true;
    found.querySelector(first).focus();
  }

  // Ranking: one list with a line in it; what stands above the line is ranked. The selects, which no script needs, hold the result.

  function prepareRanking() {
    const list = main.querySelector("#ranking"), items = [...list.children], tied = new Set();
    const select = (item) => item.querySelector("select"), grip = (item) => item.querySelector(".grip");
    const border = document.createElement("li");
    border.className = "border";
    border.textContent = "not ranked";
    const placed = items.filter((item) => select(item).value).sort((one, other) => select(one).value - select(other).value);
    placed.forEach((item, at) => { if (at && select(item).value === select(placed[at - 1]).value) tied.add(item); });
    let order = [...placed, border, ...items.filter((item) => !placed.includes(item))];
    const isRanked = (item) => order.indexOf(item) < order.indexOf(border);

    function write() {
      let place = 0;
      order.forEach((item, at) => {
        if (item === border) return;
        const ranked = isRanked(item), letter = item.dataset.letter;
        if (!ranked || at === 0) tied.delete(item);
        if (ranked && !tied.has(item)) place += 1;
        select(item).value = ranked ? String(place) : "";
        item.classList.toggle("is-ranked", ranked);
        grip(item).textContent = ranked ? String(place) : "–";
        grip(item).setAttribute("aria-label", ranked ? `Text ${letter}: place ${place}` : `Text ${letter}: not ranked`);
        const equal = item.querySelector(".tied");
        equal.toggleAttribute("data-shown", ranked && at > 0);
        equal.setAttribute("aria-pressed", String(tied.has(item)));
      });
    }

    function commit(item) {
      const focused = document.activeElement;
      order.forEach((each) => { each.style.order = ""; });
      list.append(...order);
      write();
      if (list.contains(focused)) focused.focus({ preventScroll: true });
      saveDraft();
      if (item) announce(grip(item).getAttribute("aria-label"));
    }

    function place(item, at) {
      const from = order.indexOf(item), below = order[from + 1];
      if (from === at) return;
      if (tied.has(below) && !tied.has(item)) tied.delete(below);
      tied.delete(item);
      order.splice(from, 1);
      order.splice(at, 0, item);
    }

    function tie(item) {
      if (!isRanked(item) || order.indexOf(item) === 0) return;
      if (!tied.delete(item)) tied.add(item);
      commit(item);
    }

    function drag(item, from) {
      let isDragging = false;
      const move = (event) => {
        isDragging ||= Math.abs(event.clientY - from) > 6;
        if (!isDragging) return;
        item.classList.add("is-moving");
        const others = order.filter((each) => each !== item);
        const at = others.findIndex((each) => { const box = each.getBoundingClientRect(); return event.clientY < box.top + box.height / 2; });
        place(item, at < 0 ? others.length : at);
        order.forEach((each, number) => { each.style.order = number; });
        write();
      };
      const end = () => {
        for (const name of ["pointerup", "pointercancel"]) document.removeEventListener(name, end);
        document.removeEventListener("pointermove", move);
        item.classList.remove("is-moving");
        if (!isDragging) return;
        grip(item).dataset.dragged = "";
        setTimeout(() => delete grip(item).dataset.dragged, 50);
        commit(item);
      };
      for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, end);
      document.addEventListener("pointermove", move);
    }

    list.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.target.closest(".grip")) drag(event.target.closest("li"), event.clientY);
    });
    list.addEventListener("click", (event) => {
      const item = event.target.closest("li"), button = event.target.closest("button");
      if (!button || "dragged" in button.dataset) return;
      if (button.matches(".tied")) return tie(item);
      place(item, isRanked(item) ? order.length - 1 : order.indexOf(border));
      commit(item);
    });
    keysOfKind = (event) => {
      const item = event.target.closest("#ranking > li"), step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!item || event.shiftKey && step) return false;
      if (step) {
        const at = order.indexOf(item) + step;
        if (at >= 0 && at < order.length) { place(item, at); commit(item); }
        return true;
      }
      if (event.key !== "=" || event.repeat) return false;
      tie(item);
      return true;
    };
    list.append(...order);
    write();
  }

  // Words: a pen and a selection. The checkboxes, which no script needs, hold the result.

  function prepareSpans() {
    const box = main.querySelector("#spans"), words = [...box.querySelectorAll(".word")];
    const tick = (word, name) => word.querySelector(`input[name=${name}]`);
    const mark = (word) => ["good", "bad"].find((name) => tick(word, name).checked) || "";
    let pen = "good", anchor = 0, at = 0, isDragging = false;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Words of the text");
    const range = () => words.slice(Math.min(anchor, at), Math.max(anchor, at) + 1);

    function write() {
      words.forEach((word, number) => {
        const marked = mark(word), letters = word.querySelector(".letters").textContent;
        word.setAttribute("role", "button");
        word.setAttribute("aria-label", marked ? `${letters}, ${marked}` : letters);
        word.tabIndex = number === at ? 0 : -1;
        if (marked) word.dataset.mark = marked; else delete word.dataset.mark;
      });
    }

    function take() {
      words.forEach((word) => word.toggleAttribute("data-taken", anchor !== at && range().includes(word)));
    }

    function apply(value) {
      const taken = range();
      const given = taken.length === 1 && mark(taken[0]) === value ? "" : value;
      for (const word of taken) for (const name of ["good", "bad"]) tick(word, name).checked = name === given;
      announce(`${taken.length === 1 ? taken[0].querySelector(".letters").textContent : `${taken.length} words`}: ${given || "no mark"}`);
      anchor = at;
      write();
      take();
      saveDraft();
    }

    function choose(value) {
      pen = value;
      for (const each of main.querySelectorAll(".pen")) each.setAttribute("aria-checked", String(each.dataset.pen === value));
    }

    main.querySelector(".pens").addEventListener("click", (event) => {
      if (event.target.closest(".pen")) choose(event.target.closest(".pen").dataset.pen);
    });
    const wordAt = (event) => words.indexOf(document.elementFromPoint(event.clientX, event.clientY)?.closest(".word"));
    box.addEventListener("pointerdown", (event) => {
      const number = words.indexOf(event.target.closest(".word"));
      if (number < 0 || event.button) return;
      isDragging = true;
      anchor = at = number;
      const move = (moved) => { const found = wordAt(moved); if (found >= 0) { at = found; take(); } };
      const end = (last) => {
        document.removeEventListener("pointermove", move);
        for (const name of ["pointerup", "pointercancel"]) document.removeEventListener(name, end);
        isDragging = false;
        if (last.type === "pointerup") apply(pen); else { anchor = at; take(); }
      };
      document.addEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, end);
    });
    box.addEventListener("click", (event) => {
      const number = words.indexOf(event.target.closest(".word"));
      if (number >= 0 && event.detail === 0 && !isDragging) { anchor = at = number; apply(pen); } // pressed by a screen reader
    });
    keysOfKind = (event) => {
      const named = { g: "good", b: "bad", e: "" }[event.key.toLowerCase()];
      if (named !== undefined && !event.shiftKey && !event.repeat && words.length) { apply(named); return true; }
      if (!event.target.closest(".word")) return false;
      if (["Enter", " "].includes(event.key)) { if (!event.repeat) apply(pen); return true; }
      const forward = getComputedStyle(box).direction === "rtl" ? -1 : 1;
      const step = { ArrowRight: forward, ArrowLeft: -forward, Home: -at, End: words.length - 1 - at }[event.key];
      if (step === undefined) return false;
      at = Math.max(0, Math.min(words.length - 1, at + step));
      if (!event.shiftKey) anchor = at;
      take();
      write();
      words[at].focus();
      return true;
    };
    write();
  }

  // Corrections: what was taken away and what was added, word by word.

  function prepareCorrection() {
    const box = main.querySelector("textarea#text"), place = main.querySelector("#difference");
    let timer = 0;
    const write = () => place.replaceChildren(...changes(box.dataset.original.replaceAll("\r\n", "\n"), box.value).map(([name, text]) => {
      if (!name) return document.createTextNode(text);
      const made = document.createElement(name);
      made.textContent = text;
      return made;
    }));
    box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(write, 120); });
    write();
  }

  function changes(old, now) {
    if (old === now) return [];
    const left = old.match(/\s+|\S+/g) || [], right = now.match(/\s+|\S+/g) || [];
    let start = 0, end = 0;
    while (start < Math.min(left.length, right.length) && left[start] === right[start]) start += 1;
    while (end < Math.min(left.length, right.length) - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
    const one = left.slice(start, left.length - end), other = right.slice(start, right.length - end);
    const tail = end ? left.slice(-end).join("") : "";
    return [["", left.slice(0, start).join("")], ...align(one, other), ["", tail]].filter(([, text]) => text);
  }

  function align(one, other) {
    if (one.length * other.length > MOST_CELLS) return [["del", one.join("")], ["ins", other.join("")]];
    const width = other.length + 1, common = new Uint16Array((one.length + 1) * width);
    for (let i = one.length - 1; i >= 0; i -= 1) {
      for (let j = other.length - 1; j >= 0; j -= 1) {
        const here = i * width + j;
        common[here] = one[i] === other[j] ? common[here + width + 1] + 1 : Math.max(common[here + width], common[here + 1]);
      }
    }
    const parts = [];
    const add = (name, text) => { if (parts.at(-1)?.[0] === name) parts.at(-1)[1] += text; else parts.push([name, text]); };
    let i = 0, j = 0;
    while (i < one.length || j < other.length) {
      if (i < one.length && j < other.length && one[i] === other[j]) { add("", one[i]); i += 1; j += 1; }
      else if (j >= other.length || (i < one.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) add("del", one[i++]);
      else add("ins", other[j++]);
    }
    return parts;
  }

  document.addEventListener("DOMContentLoaded", () => {
    dropOldDrafts();
    prepare();
    if (document.body.dataset.person && unsent().length) { setBusy(true); deliver(); }
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("action") === "/sign-out") storage.names().filter((name) => name.startsWith("draft:")).forEach(storage.remove);
    if ("plain" in form.dataset) return;
    event.preventDefault();
    if (isBusy && form.id === "undo") refuseUndo();
    if (isBusy || !isReady) return;
    if (form.id === "undo") undo(form); else send(form, event.submitter);
  });
  document.addEventListener("input", (event) => { if (event.target.closest("#answer")) saveDraftSoon(); });
  window.addEventListener("pagehide", saveDraft);
  document.addEventListener("change", (event) => {
    if (event.target.id === "differences") storage.set("differences", event.target.checked);
    if (event.target.id === "keys-on") { storage.set("keys", event.target.checked); document.documentElement.classList.toggle("no-keys", !event.target.checked); }
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) spent += performance.now() - since;
    since = performance.now();
  });
})();
