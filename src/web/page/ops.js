// Keeps the page up to date: fetches it again and puts its live parts in place,
// so scroll, focus and what is being typed stay where they are. A part in which
// somebody has the focus or a pointer is left alone until they are done.
"use strict";

// What costs a call of the org's is asked for less often, and says so.
const calm = document.querySelector("[data-seconds]");
const EVERY = 1000 * (calm ? Number(calm.dataset.seconds) : 5);
// Figures of this age are said to be old, also while an answer is waited for.
const LATE = EVERY + 10000;
// The server gives up after 25 s.
const PATIENCE = 30000;
const stale = document.getElementById("stale");
let shown = new Date();
let looking = false;

function isInUse(part) {
  return part.contains(document.activeElement) ||
    (part.dataset.live === "calm" && part.matches(":hover"));
}

function tellThatItIsOld() {
  const text = "No answer since " + shown.toLocaleTimeString() +
    ": this page may be old. It goes on by itself.";
  if (stale.textContent !== text) stale.textContent = text;
  stale.hidden = false;
}

function isSeen() {
  return !document.hidden && document.querySelector("[data-live]") !== null;
}

async function look() {
  // One after the other, so that no older answer comes after a newer one.
  if (looking || !isSeen()) return;
  looking = true;
  try {
    const answer = await fetch(location.href, {
      headers: { accept: "text/html" },
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.redirected || answer.status === 403) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (next && next.innerHTML !== part.innerHTML && !isInUse(part)) {
        part.replaceChildren(...next.childNodes);
      }
    }
    shown = new Date();
    stale.hidden = true;
  } catch {
    tellThatItIsOld();
  } finally {
    looking = false;
  }
}

// What was done is told once; a reload does not repeat it.
const here = new URL(location.href);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  here.searchParams.delete("count");
  history.replaceState(null, "", here);
}

setInterval(() => {
  if (isSeen() && new Date() - shown > LATE) tellThatItIsOld();
  look();
}, EVERY);
document.addEventListener("visibilitychange", look);
