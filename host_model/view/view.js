"use strict";

// The page is made by the host; what has changed of it is put in place of what was. A picture stays until the next has come.
const PERIOD_MS = 1000;

function renew(old, fresh) {
  const was = old.querySelector("img");
  const is = fresh.querySelector("img");
  if (!was || !is) {
    old.replaceWith(document.adoptNode(fresh));
    return;
  }
  for (const name of ["src", "alt", "width", "height"]) {
    was.setAttribute(name, is.getAttribute(name));
  }
  old.querySelector("figcaption").textContent = fresh.querySelector("figcaption").textContent;
}

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/", { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const fresh of page.querySelectorAll("[data-live]")) {
        const old = document.getElementById(fresh.id);
        if (old && old.innerHTML !== fresh.innerHTML) {
          renew(old, fresh);
        }
      }
      document.body.classList.remove("gone");
    } catch {
      document.body.classList.add("gone");
    }
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);
document.addEventListener("visibilitychange", () => document.body.classList.remove("gone"));
