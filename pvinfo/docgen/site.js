(() => {
  "use strict";
  const hex = (number) => "0x" + number.toString(16);
  const number = (text) => {
    const plain = text.trim().replaceAll("_", "");
    if (/^0x[0-9a-f]+$/i.test(plain) || /^[0-9]+$/.test(plain)) return BigInt(plain);
    if (/^[0-9a-f]+$/i.test(plain)) return BigInt("0x" + plain);
    return null;
  };

  // ---- search ----
  const box = document.getElementById("search");
  const hits = document.getElementById("hits");
  const index = window.SEARCH_INDEX || [];
  let chosen = 0;

  // An offset finds what covers it; words must all occur, and names count more than sentences.
  const covers = (entry, offset) => (entry.p || []).some(([first, elements, stride, size]) =>
    offset >= first && offset < first + (elements - 1) * stride + size && (offset - first) % stride < size);
  const rank = (entry, words, offset) => {
    if (offset !== null && covers(entry, offset)) return entry.k === "register" ? 120 : 110;
    const name = entry.n.toLowerCase(), kernel = (entry.o || "").toLowerCase(), said = (entry.d || "").toLowerCase();
    const last = name.slice(name.lastIndexOf(".") + 1), bare = name.replaceAll("_", "");
    let total = 0;
    for (const word of words) {
      if (name === word || kernel === word || last === word) total += 100;
      else if (last.startsWith(word) || kernel.startsWith(word)) total += 60;
      else if (name.includes(word) || kernel.includes(word)) total += 40;
      else if (bare.includes(word.replaceAll("_", ""))) total += 30;
      else if (said.includes(word)) total += 8;
      else return 0;
    }
    return total / words.length + (entry.k === "register" ? 5 : 0);
  };
  const mark = () => [...hits.children].forEach((item, i) => {
    item.setAttribute("aria-selected", String(i === chosen));
    if (i === chosen) item.scrollIntoView({ block: "nearest" });
  });
  const show = () => {
    const query = box.value.trim().toLowerCase();
    hits.replaceChildren();
    hits.hidden = query === "";
    if (!query) return;
    const asNumber = /^(0x[0-9a-f]+|[0-9][0-9a-f]{2,})$/.test(query) ? parseInt(query.replace(/^0x/, ""), 16) : null;
    const words = query.split(/\s+/);
    const found = index.map((entry) => [rank(entry, words, asNumber), entry]).filter(([score]) => score > 0)
      .sort((a, b) => b[0] - a[0]).slice(0, 40);
    for (const [, entry] of found) {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = entry.h;
      for (const [kind, text] of [["k", entry.k], ["n", entry.n], ["o", (entry.p || []).slice(0, 4).map((p) => hex(p[0])).join(" ") || entry.o || ""], ["d", [entry.p && entry.o, entry.d].filter(Boolean).join(" · ")]]) {
        const part = document.createElement(kind === "n" || kind === "o" ? "code" : "span");
        part.className = kind;
        part.textContent = text;
        link.append(part);
      }
      link.addEventListener("click", () => { hits.hidden = true; box.blur(); });
      item.append(link);
      hits.append(item);
    }
    if (!found.length) {
      const item = document.createElement("li");
      item.className = "none";
      item.textContent = asNumber === null ? "nothing of that name" : "nothing is declared at " + hex(asNumber);
      hits.append(item);
    }
    chosen = 0;
    mark();
  };
  box.addEventListener("input", show);
  box.addEventListener("focus", show);
  box.addEventListener("keydown", (event) => {
    const count = hits.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % Math.max(count, 1);
      mark();
      event.preventDefault();
    } else if (event.key === "Enter") {
      hits.children[chosen]?.querySelector("a")?.click();
    } else if (event.key === "Escape") {
      hits.hidden = true;
      box.blur();
    }
  });
  document.addEventListener("click", (event) => { if (!event.target.closest(".search")) hits.hidden = true; });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      box.focus();
      box.select();
      event.preventDefault();
    }
  });

  // ---- bit boxes: a value typed in is taken apart; row and box light up together ----
  for (const item of document.querySelectorAll(".bitbox")) {
    const boxes = [...item.querySelectorAll("svg g[data-low]")];
    const rows = [...item.querySelectorAll("tr[data-low]")];
    const same = (a, b) => a.dataset.low === b.dataset.low;
    for (const [ones, others] of [[boxes, rows], [rows, boxes]])
      for (const one of ones)
        for (const [event, lit] of [["mouseenter", true], ["mouseleave", false]])
          one.addEventListener(event, () => others.filter((other) => same(one, other)).forEach((other) => other.classList.toggle("lit", lit)));
    const input = item.querySelector(".decode");
    input?.addEventListener("input", () => {
      const value = number(input.value);
      const part = (place) => (value >> BigInt(place.dataset.low)) & ((1n << BigInt(place.dataset.width)) - 1n);
      for (const row of rows) {
        const cell = row.querySelector("td.value");
        cell.textContent = "";
        if (value === null) continue;
        const content = part(row);
        const names = row.dataset.choices ? JSON.parse(row.dataset.choices) : {};
        cell.textContent = names[content.toString()] ?? (content > 9n ? hex(content) + " (" + content + ")" : content.toString());
      }
      for (const drawn of boxes) drawn.classList.toggle("on", value !== null && part(drawn) !== 0n);
    });
  }

  // ---- long tables ----
  for (const input of document.querySelectorAll(".filter")) {
    const rows = [...document.querySelectorAll("table.filtered tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const [row, text] of rows) row.hidden = !words.every((word) => text.includes(word));
    });
  }
})();
